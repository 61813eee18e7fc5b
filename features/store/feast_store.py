"""The feature store: the only module that imports Feast.

`online` reads features for a decision, `as_of` for training. `write` takes new states, `erase`
deletes customers. To import Feast takes seconds, so it happens when a store is opened, not when
this module is imported.
"""

from __future__ import annotations

import logging
import struct
import warnings
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import yaml

from features.business.domain import Domain
from features.customers.profiles import account_key
from features.errors import NotVisible
from features.journeys.fold import State
from features.journeys.model_input import ModelInput
from features.settings import Settings
from features.store.feast_import import REPO, load_definitions, without_type_checks
from features.store.online_rows import OnlineRows, erase_rows, plain, use_write_ahead_log

KEY = ["customer_id", "event_timestamp"]
SERVED = "decide_v1"  # the feature service that a decision reads
# The key of a row that tells an empty online store from an unknown customer. No caller can ask
# for it, because the id of a customer has no space.
MARKER = "nba built"


class CustomerFeatures(NamedTuple):
    """The attributes and journey states that the online store holds of a customer."""

    attributes: Mapping[str, str]
    state: State | None
    account_state: State | None = None


class FeatureStore:
    """Feast, opened for one business.

    Parameters
    ----------
    settings
        Its home holds the registry, the online store and the offline tables.
    domain
        Defines the columns.
    """

    def __init__(self, settings: Settings, domain: Domain) -> None:
        with without_type_checks():
            from feast import FeatureStore as Feast
            from feast import RepoConfig
            from feast.infra.key_encoding_utils import serialize_entity_key_prefix
            from feast.infra.online_stores.helpers import get_online_store_from_config
            from feast.protos.feast.types.EntityKey_pb2 import EntityKey
            from feast.protos.feast.types.Value_pb2 import DoubleList, Value, ValueType

        self._value, self._numbers = Value, DoubleList
        self._entity_key = EntityKey

        model_input = ModelInput(domain)
        self._layout = model_input.layout
        self._fold = model_input.fold
        self._attributes = domain.profile_columns or ("customer_since",)
        self._account = domain.account
        self._folder = settings.home / "feast"
        self._folder.mkdir(parents=True, exist_ok=True)
        config = yaml.safe_load((REPO / "feature_store.yaml").read_text(encoding="utf-8"))
        for part, file in (("registry", "registry.db"), ("online_store", "online.db")):
            if "path" in config[part]:
                config[part]["path"] = str(self._folder / file)
        logging.getLogger("feast").setLevel(logging.WARNING)
        self._feast: Any = Feast(config=RepoConfig(**config, repo_path=REPO))
        version = self._feast.config.entity_key_serialization_version
        self._key_prefix: bytes = serialize_entity_key_prefix(["customer_id"], version)
        self._key_type: int = ValueType.STRING
        self._store: Any = get_online_store_from_config(self._feast.config.online_store)
        # A connection of its own: a decision must not read rows that are not committed yet.
        self._writer: Any = get_online_store_from_config(self._feast.config.online_store)
        self._views: list[Any] = []
        self._rows: OnlineRows | None = None
        self._written: dict[str, Any] = {}

    @property
    def journey_folder(self) -> Path:
        """The offline table of journey states: one parquet file for each part of the customers."""
        return self._folder / "customer_journey"

    @property
    def profile_file(self) -> Path:
        """The offline table of attributes: a row for each change of a customer's attributes."""
        return self._folder / "customer_profile.parquet"

    def apply(self) -> None:
        """Register the definitions of `feature_repo/definitions.py` with Feast."""
        found = load_definitions()
        kinds = ("Entity", "FeatureView", "FeatureService", "PushSource")
        self._feast.apply([x for x in vars(found).values() if type(x).__name__ in kinds])
        self._views, self._rows, self._written = [], None, {}
        if self._feast.config.online_store.type == "sqlite":
            use_write_ahead_log(Path(self._feast.config.online_store.path))

    def mark_built(self, at: datetime) -> None:
        """Write a row that says that the online store was filled."""
        self.write_packed([MARKER], [[]], [at])

    def why_unusable(self) -> str | None:
        """The reason why the online store cannot serve this business, as a sentence; else None."""
        from feast.errors import FeastObjectNotFoundException

        try:
            view = self._feast.get_feature_view("customer_journey")
        except FeastObjectNotFoundException:
            return "the feature registry is empty; run 'nba build'"
        if view.tags.get("layout") != self._layout:
            return "the features were built for another domain file; run 'nba build'"
        try:
            filled = self.is_filled()
        except Exception as error:  # each kind of store raises another error if it is not there
            return f"the online store cannot be read ({type(error).__name__}); run 'nba build'"
        return None if filled else "the online store is empty; run 'nba build'"

    def is_filled(self) -> bool:
        """Return whether a build has filled the online store."""
        return "state" in self._online(MARKER)

    def online(self, customer_id: str) -> CustomerFeatures | None:
        """Read the features of a customer; None if the store holds nothing of it."""
        found = self._online(customer_id)
        state = self._readable(found.pop("state", None))
        if state is None and not found:
            return None
        account = found.get(self._account) if self._account else None
        of_account = self._online(account_key(account)) if account else {}
        return CustomerFeatures(found, state, self._readable(of_account.get("state")))

    def _readable(self, state: State | None) -> State | None:
        """Unpack a state; None for a state of another layout."""
        return None if state is None else self._fold.unpack(state)

    def as_of(self, moments: pd.DataFrame, service: str) -> pd.DataFrame:
        """Read the offline tables as of moments; see `HistoricalFeatures.as_of`.

        ``state`` is the latest kept one before or at the moment, packed.

        Notes
        -----
        The left join is needed. Feast's file store drops a moment before the customer's first
        feature row (its DuckDB store, which we use, does not). Without the join a model would
        never be trained on customers without a past.
        """
        entities = moments[KEY].drop_duplicates()
        features = self._feast.get_feature_service(service)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            known: pd.DataFrame = self._feast.get_historical_features(entities, features).to_df()
        # DuckDB returns times in another unit; a merge needs the same unit on both sides.
        known["event_timestamp"] = known["event_timestamp"].astype(moments["event_timestamp"].dtype)
        return moments[KEY].merge(known, on=KEY, how="left", validate="many_to_one")

    def write(
        self, customer_ids: Sequence[str], states: Sequence[State], at: Sequence[datetime]
    ) -> None:
        """Put states online, each the fold of all events of its customer.

        Parameters
        ----------
        customer_ids : shape (n,)
        states : shape (n, len(Fold.state_fields))
        at : shape (n,), aware UTC, the time of the last event
        """
        self.write_packed(customer_ids, [self._fold.pack(state) for state in states], at)

    def write_packed(
        self, customer_ids: Sequence[str], packed: Sequence[list[float]], at: Sequence[datetime]
    ) -> None:
        """Put states online that `Fold.pack` has packed; see `write`."""
        values = [{"state": self._value(double_list_val=self._numbers(val=one))} for one in packed]
        self._write("customer_journey", customer_ids, values, at)

    def write_profiles(self, profiles: Mapping[str, Mapping[str, str]], at: datetime) -> None:
        """Put attributes online, by customer; a missing attribute is written as unknown."""
        value = self._value
        values = [
            {name: value(string_val=p[name]) if name in p else value() for name in self._attributes}
            for p in profiles.values()
        ]
        self._write("customer_profile", list(profiles), values, [at] * len(profiles))

    def erase(self, customer_ids: Sequence[str], at_most: int | None = None) -> bool:
        """Delete customers from the online store.

        Parameters
        ----------
        at_most : int, bytes
            A larger file is not written anew; some bytes may then remain in its free space.

        Returns
        -------
        bool
            Whether no bytes remain.

        Raises
        ------
        NotVisible
            If the store is of a kind from which we cannot delete.
        """
        config = self._feast.config
        kind = config.online_store.type
        if kind != "sqlite":
            raise NotVisible(
                f"The online store is of type {kind!r}.",
                expected="sqlite, the one kind that we know how to erase from",
                remedy="Delete the customer there by hand, then ask again.",
            )
        keys = [self._serialized(customer_id) for customer_id in customer_ids]
        tables = [f"{config.project}_{view}" for view in ("customer_profile", "customer_journey")]
        return erase_rows(Path(config.online_store.path), tables, keys, at_most)

    def _write(
        self,
        view: str,
        customer_ids: Sequence[str],
        values: Sequence[dict[str, Any]],
        at: Sequence[datetime],
    ) -> None:
        """Write through the online store itself, as Feast's `write_to_online_store` does.

        It takes a third of the time, because no data frame is built for one customer.
        """
        rows = [
            (self._key(customer_id), named, moment, None)
            for customer_id, named, moment in zip(customer_ids, values, at, strict=True)
        ]
        if view not in self._written:  # Feast would rebuild the view from its registry each time
            self._written[view] = self._feast.get_feature_view(view, allow_registry_cache=True)
        self._writer.online_write_batch(self._feast.config, self._written[view], rows, None)

    def _key(self, customer_id: str) -> Any:
        value = self._value(string_val=customer_id)
        return self._entity_key(join_keys=["customer_id"], entity_values=[value])

    def _serialized(self, customer_id: str) -> bytes:
        """Serialise a key as Feast's `serialize_entity_key` does, without building the key."""
        text = customer_id.encode()
        return self._key_prefix + struct.pack("<II", self._key_type, len(text)) + text

    def _online(self, customer_id: str) -> dict[str, Any]:
        """Read the values of a customer by name, without empty ones.

        It reads through the online store itself, as Feast's `get_online_features` does: a third of
        the time, because no response of many rows is built for one customer. From SQLite it reads
        the tables, in a third of that.
        """
        if not self._views:
            self._look_up_views()
        if self._rows:
            rows = self._rows.of(self._serialized(customer_id))
            # An unknown value is packed into no bytes.
            found = {name: plain(self._value.FromString(packed)) for name, packed in rows if packed}
        else:
            key, found = self._key(customer_id), {}
            for view in self._views:
                [(_, values)] = self._store.online_read(self._feast.config, view, [key])
                found |= {name: plain(value) for name, value in (values or {}).items()}
        return {name: value for name, value in found.items() if value is not None}

    def _look_up_views(self) -> None:
        config = self._feast.config
        views = self._feast.get_feature_service(SERVED).feature_view_projections
        self._views = [self._feast.get_feature_view(view.name) for view in views]
        if config.online_store.type == "sqlite":
            tables = [f"{config.project}_{view.name}" for view in self._views]
            self._rows = OnlineRows(Path(config.online_store.path), tables)
