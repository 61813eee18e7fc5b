"""Tests of `features.masking`."""

import io
import logging
import sys
import threading
import time
import warnings

import pytest
from pydantic import BaseModel

from features.errors import InvalidSetting, NbaError, quoted
from features.masking import MaskedRecord, mask_output, masked, masked_log, masked_traceback

ADDRESS = "http://user:hunter2@host"
KEPT = (
    "sqlite:////home/me@work/a:b@c/ledger.db",
    "file:///srv/me@work/x",
    "http://localhost:3000/readyz, then http://[::1]:3000.",
    "s3://bucket/me@example.org",
    "PATH=/a:/usr/b:x",
    "/srv/x.yaml:/y@z",
    "http://host/path?customer=anna@example.org",
    "token: 3 of them; password is needed",
    "sorted(rows, by=name)",
    "send Authorization: Bearer <key>",
    "postgresql+psycopg://USER:PASSWORD@host:5432/database",
    "Tourism in Asia: ASIATIC",
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("at http://user:hunter2@host:5000.", "at http://user:***@host:5000."),
        ("http://user:hun@ter2:x@host/a", "http://user:***@host/a"),
        ("http://user:hun%40ter%2F2@host", "http://user:***@host"),
        ("http://user:hun/ter#2?@host", "http://user:***@host"),
        ("http://user:12/hunter2@host", "http://user:***@host"),
        ("http://user:hun'ter2@host", "http://user:***@host"),
        ("http://:hunter2@host", "http://:***@host"),
        ("http://hunter2@host", "http://***@host"),
        ("http://me@work:hunter2@host", "http://***@host"),
        ("http:///user:hunter2@host", "http:///user:***@host"),
        ("'http://user:hunter2...", "'http://user:***"),
        ("a http://u:hunter2@h b http://v:hunter2@i", "a http://u:***@h b http://v:***@i"),
        ("oracle://db/?password=hunter2&x=1", "oracle://db/?password=***&x=1"),
        ("postgresql://db/x?a=1&sslpassword=hun%202", "postgresql://db/x?a=1&sslpassword=***"),
        ("https://h/a?api_key=hunter2#x", "https://h/a?api_key=***"),
        ("s3://b/a?AWSAccessKeyId=AKIAABCDEFGHIJKLMNOP", "s3://b/a?AWSAccessKeyId=***"),
        ("s3://AKIAABCDEFGHIJKLMNOP:hunt+er/2@b/a", "s3://***:***@b/a"),
        (
            "https://a/b?X-Amz-Signature=hunter2&sig=hunter2",
            "https://a/b?X-Amz-Signature=***&sig=***",
        ),
        ("s3:/AKIAABCDEFGHIJKLMNOP:hunter2@b/a", "s3:/***:***@b/a"),
        ("host=db password='hun ter2' user=a", "host=db password=*** user=a"),
        ("connect(password='hunter2", "connect(password=***"),
        ("{'host': 'db', 'password': 'hunter2'}", "{'host': 'db', 'password': '***'}"),
        ('{"aws_secret_access_key":"hunter2"}', '{"aws_secret_access_key":"***"}'),
        (f"key nba_{'hunter2' * 7}, wrong", "key ***, wrong"),
        ("authorization: Bearer hunter2hunter2hunter2", "authorization: Bearer ***"),
        ("Authorization: Basic hunter2hunter2hunter2==", "Authorization: Basic ***"),
        ("(b'authorization', b'Basic hunter2hunter2hunter2')", "(b'authorization', b'Basic ***')"),
        ("{'password': b'hunter2'}", "{'password': '***'}"),
        (r"connect(password='hun\'hunter2\"', x=1)", "connect(password=***, x=1)"),
    ],
)
def test_a_secret_is_masked_and_the_rest_stays(text, expected):
    assert masked(text) == expected
    assert masked(expected) == expected  # again does no harm
    assert "hunter2" not in str(InvalidSetting(text, expected=text, remedy=text))


@pytest.mark.parametrize("text", KEPT)
def test_what_is_no_secret_stays(text):
    assert masked(text) == text


def test_a_value_is_masked_before_it_is_cut():
    assert quoted("x" * 50 + "://user:12345" + "6" * 50 + "@host").endswith("://user:***@host'")


def test_an_error_that_makes_its_sentence_itself_is_masked_too():
    class Own(NbaError):
        def __init__(self) -> None:
            Exception.__init__(self, "http://user:hunter2@host")

    assert str(Own()) == "http://user:***@host"


@pytest.mark.parametrize(
    "part", ["://", "a:", "=", "password", "'a':", "x@", "input_value=", "a", "\n"]
)
def test_a_long_text_is_masked_in_linear_time(part):
    began = time.process_time()
    masked_log(part * (400_000 // len(part)))
    assert time.process_time() - began < 2


class Person(BaseModel):
    """It has a number."""

    number: int


def test_the_log_repeats_no_value_of_a_customer():
    sent = {"number": "-".join(("anna", "maria"))}  # the traceback repeats this line
    try:
        Person.model_validate(sent)
    except ValueError as error:
        assert "anna-maria" in str(error)
        assert "anna-maria" not in masked_traceback(error)
    row = "duplicate key\nDETAIL:  Key (customer_id)=(anna) already exists.\nCONTEXT: x"
    assert masked_log(row) == "duplicate key\nDETAIL: ***\nCONTEXT: x"
    assert masked_log("no such row: anna.maria+x@mail.example.org") == "no such row: ***"


@pytest.fixture
def masked_output():
    """The output of this process is masked; afterwards it is as before."""
    factory, excepthook = logging.getLogRecordFactory(), sys.excepthook
    of_threads, of_warnings = threading.excepthook, warnings.formatwarning
    mask_output()
    yield
    logging.setLogRecordFactory(factory)
    sys.excepthook, threading.excepthook = excepthook, of_threads
    warnings.formatwarning = of_warnings


def _fail():
    raise ValueError(f"{ADDRESS} is not there")  # the traceback repeats this line


def test_every_logger_and_handler_of_the_process_is_masked(masked_output):
    output = io.StringIO()
    handler = logging.StreamHandler(output)
    for name in ("mlflow", "sqlalchemy.engine", "bentoml", "made.up.later"):
        logger = logging.getLogger(name)
        logger.addHandler(handler)
        try:
            _fail()
        except ValueError:
            logger.critical("%s: %s", name, "http://user:hunter2@host", exc_info=True)
        finally:
            logger.removeHandler(handler)
    said = output.getvalue()
    assert "hunter2" not in said
    assert said.count("ValueError: http://user:***@host is not there") == 4
    assert "\nmade.up.later: http://user:***@host\nTraceback" in said


def test_a_copied_record_is_masked_too():
    record = MaskedRecord("x", logging.ERROR, "x.py", 1, "a", (), None)
    record.exc_text = "http://user:hunter2@host"
    assert record.exc_text == "http://user:***@host"


def test_errors_that_nobody_caught_and_warnings_are_masked(masked_output, capsys):
    thread = threading.Thread(target=_fail)
    thread.start()
    thread.join()
    try:
        _fail()
    except ValueError as error:
        sys.excepthook(type(error), error, error.__traceback__)
    warning = UserWarning("see http://user:hunter2@host")
    assert warnings.formatwarning(warning, UserWarning, "x.py", 3) == (
        "x.py:3: UserWarning: see http://user:***@host\n"
    )
    said = capsys.readouterr().err
    assert said.count("\nValueError: http://user:***@host is not there\n") == 2
    assert "hunter2" not in said
