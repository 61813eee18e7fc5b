"""How MLflow's own tools load our models: `mlflow.pyfunc.load_model("models:/churn@champion")`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow.pyfunc import PythonModel

from training.bandit.artifact import Bandit
from training.models.classifier import Classifier


class ClassifierModel(PythonModel):  # type: ignore[misc]
    """Features in, one column of probabilities for each class out."""

    def load_context(self, context: Any) -> None:
        self.model = Classifier.load(Path(context.artifacts["model"]))

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> pd.DataFrame:
        rows = model_input[list(self.model.features)].to_numpy(dtype=np.float64)
        return pd.DataFrame(self.model.probabilities(rows), columns=list(self.model.classes))


class BanditModel(PythonModel):  # type: ignore[misc]
    """Features and a column `channel` in, expected acceptance of each trained action out.

    Without the catalogue there are no priors, so each action's own trained rate stands in.
    """

    def load_context(self, context: Any) -> None:
        self.bandit = Bandit.load(Path(context.artifacts["model"]))

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> pd.DataFrame:
        return expected_acceptance(self.bandit, model_input)


def expected_acceptance(bandit: Bandit, rows: pd.DataFrame) -> pd.DataFrame:
    """What a bandit expects of the actions it was trained on."""
    state = bandit.state
    priors = {action: (state.rate(action), 1.0) for action in state.actions}
    model = state.model(priors, {}, bandit.params)
    features = rows[list(state.encoder.features)].to_numpy(dtype=np.float64)
    chances = model.acceptance(features, rows["channel"].tolist())
    return pd.DataFrame(chances, columns=list(model.actions))
