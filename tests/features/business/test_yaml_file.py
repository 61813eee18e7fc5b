"""An error in a YAML file names the line, the value and the remedy."""

import gc

import pytest
from pydantic import BaseModel, ConfigDict, Field, model_validator

from features.business.domain import Domain
from features.business.yaml_file import load_yaml
from features.business.yaml_nodes import YamlFile
from features.errors import InvalidDomain


class Shelf(BaseModel):
    model_config = ConfigDict(extra="forbid")

    width_cm: int = Field(gt=0)
    books: list[str] = []

    @model_validator(mode="after")
    def _fits(self):
        if len(self.books) > self.width_cm:
            raise ValueError("at most one book for each centimetre")
        return self


class House(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str
    shelves: dict[str, Shelf] = {}

    @model_validator(mode="after")
    def _names_in_use(self):
        if "attic" in self.shelves:
            raise ValueError("shelves.attic: another name; that is a room")
        if "full" in self.shelves and not self.shelves["full"].books:
            raise ValueError("shelves.full.books: at least one")
        return self


@pytest.fixture
def write(tmp_path):
    def to_file(text):
        path = tmp_path / "house.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return to_file


def test_a_good_file_becomes_the_type(write):
    house = load_yaml(write("name: café\nshelves:\n  low: {width_cm: 3, books: [a, b]}\n"), House)
    assert house == House(name="café", shelves={"low": Shelf(width_cm=3, books=["a", "b"])})


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("name: x\nshelves:\n  low:\n    width_cm: 0\n", 4, "shelves.low.width_cm is 0."),
        ("name: x\n\n# why\nshelves: {low: {width_cm: a}}\n", 4, "shelves.low.width_cm is 'a'."),
        (
            "name: x\nshelves:\n  low:\n    width_cm: 2\n    books:\n    - a\n    - 7\n",
            7,
            ".1 is 7.",
        ),
        ("name: x\ncolour: red\n", 2, "colour is 'red'."),
        ("name: x\nshelves:\n  low:\n    books: []\n", 3, "shelves.low.width_cm is"),
        ("\n# first\nshelves: {}\n", 3, "name is missing."),
        ("name: 7\n", 1, "name is 7."),
    ],
)
def test_a_broken_rule_names_line_key_and_value(write, text, line, said):
    path = write(text)
    with pytest.raises(InvalidDomain) as caught:
        load_yaml(path, House)
    message = str(caught.value)
    assert message.startswith(f"{path}, line {line}: ")
    assert said in message
    assert message.endswith("Correct that line; nothing was changed.")


def test_a_rule_of_our_own_is_said_in_its_own_words(write):
    text = "name: x\nshelves:\n  low: {width_cm: 1, books: [a, b]}\n"
    with pytest.raises(InvalidDomain, match=r"Expected at most one book for each centimetre\."):
        load_yaml(write(text), House)


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        (
            "name: x\nshelves:\n  top: {width_cm: 1}\n  attic: {width_cm: 2}\n",
            4,
            "shelves.attic is {'width_cm': 2}. Expected another name; that is a room.",
        ),
        (
            "name: x\nshelves:\n  full:\n    width_cm: 1\n    books: []\n",
            5,
            "shelves.full.books is []. Expected at least one.",
        ),
        (
            "name: x\nshelves:\n  full: {width_cm: 1}\n",
            3,
            "shelves.full.books is missing. Expected at least one.",
        ),
    ],
)
def test_a_rule_of_our_own_may_name_a_key_further_down(write, text, line, said):
    path = write(text)
    with pytest.raises(InvalidDomain) as caught:
        load_yaml(path, House)
    assert str(caught.value).startswith(f"{path}, line {line}: {said}")


def test_a_long_value_is_shortened(write):
    with pytest.raises(InvalidDomain) as caught:
        load_yaml(write(f"name: [{'a' * 500}]\n"), House)
    assert "aaa..." in str(caught.value)
    assert "a" * 100 not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: x\nname: y\n", "line 2: name stands already in line 1."),
        (
            "name: x\nshelves:\n  low: {width_cm: 1}\n  top: {width_cm: 1}\n  low: {width_cm: 2}\n",
            "line 5: shelves.low stands already in line 3.",
        ),
        ("name: x\nlist:\n- a: 1\n  b: 2\n  a: 3\n", "line 5: list.0.a stands already in line 3."),
    ],
)
def test_a_key_that_stands_twice_is_refused(write, text, said):
    with pytest.raises(InvalidDomain) as caught:
        load_yaml(write(text), House)
    assert said in str(caught.value)
    assert "Rename or delete one of the two" in str(caught.value)


def test_one_key_in_two_places_is_no_repetition(write):
    text = "name: x\nshelves: {low: {width_cm: 1}, top: {width_cm: 1}}\n"
    assert set(load_yaml(write(text), House).shelves) == {"low", "top"}


def test_a_missing_file_is_named_with_its_remedy(tmp_path):
    with pytest.raises(InvalidDomain, match=r"nowhere\.yaml cannot be read.*Check the path"):
        load_yaml(tmp_path / "nowhere.yaml", House)


def test_what_is_not_yaml_is_named_with_its_line(write):
    with pytest.raises(InvalidDomain, match=r"line 2: the text cannot be read.*Check that line"):
        load_yaml(write("name: x\nshelves: [a\n"), House)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"name: x\n# caf\xe9\n", r"line 2: the byte 0xe9 is not UTF-8\. .* Save the file again"),
        (
            b"name: x\nborn: 2017-13-45\n",
            r"line 2: born is '2017-13-45'\. Expected a day of the cal",
        ),
        (b"name: !ours x\n", r"line 1: name is 'x'\. Expected a text, .*, not !ours\."),
        (b"name: x\n? [a, b]\n: y\n", "line 2: the file has a list or a mapping as a key"),
        (b"name: x\n? {a: b}\n: y\n", "line 2: the file has a list or a mapping as a key"),
        (b"name: &a [*a]\n", r"line 1: \*a stands within the value that it names"),
        (b"name: &a {b: *a}\n", r"line 1: \*a stands within the value that it names"),
        (
            b"a: &low 1\nname: *lov\n",
            r"line 2: \*lov names nothing above it.* Did you mean 'low'\?",
        ),
        (b"name: x\n---\nname: y\n", "line 2: that line begins a second document"),
        (b"name: x\nshelves:\n\tlow: 1\n", "line 3: a tab indents the line"),
        (b"name: a\x07b\n", "line 1: the text cannot be read as YAML"),
        (b"name: 'x\n", "line 1: the text cannot be read as YAML"),
        (b"name: x: y\n", "line 1: the text cannot be read as YAML"),
    ],
)
def test_what_no_yaml_of_ours_may_hold_is_said_with_its_line(tmp_path, content, said):
    path = tmp_path / "house.yaml"
    path.write_bytes(content)
    with pytest.raises(InvalidDomain, match=rf"house\.yaml, {said}"):
        load_yaml(path, House)


@pytest.mark.parametrize("text", ["", "# only a remark\n", "- a\n- b\n", "just words\n"])
def test_a_file_without_a_mapping_is_told_where_to_start(write, text):
    with pytest.raises(InvalidDomain, match=r"holds no mapping.*Start from a file in"):
        load_yaml(write(text), House)


@pytest.mark.parametrize("value", ["!!bool maybe", "!!int ''", "!!timestamp abc"])
def test_a_value_that_its_tag_cannot_read_is_a_sentence(tmp_path, value):
    path = tmp_path / "odd.yaml"
    path.write_text(f"name: {value}\n")
    with pytest.raises(InvalidDomain, match=r"odd\.yaml, line 1: name is "):
        load_yaml(path, Domain)


def test_a_file_that_a_rule_refuses_is_not_kept_in_memory(tmp_path):
    path = tmp_path / "domain.yaml"
    path.write_text("name: shop\nvocabulary: [npss]\n")
    before = _yaml_files()
    with pytest.raises(InvalidDomain, match="Did you mean 'nps'") as refused:
        load_yaml(path, Domain)
    del refused
    assert _yaml_files() <= before


def _yaml_files():
    gc.collect()
    return sum(isinstance(one, YamlFile) for one in gc.get_objects())
