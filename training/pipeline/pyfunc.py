"""MLflow wrappers of the models, for `mlflow.pyfunc.load_model("models:/churn@champion")`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow.pyfunc import PythonModel

from training.bandit.artifact import Bandit
from training.models.classifier import Classifier


class ClassifierModel(PythonModel):  # type: ignore[misc]
    """Maps features to one column of probabilities for each class."""

    def load_context(self, context: Any) -> None:
        self.model = Classifier.load(Path(context.artifacts["model"]))

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> pd.DataFrame:
        rows = model_input[list(self.model.features)].to_numpy(dtype=np.float64)
        return pd.DataFrame(self.model.probabilities(rows), columns=list(self.model.classes))


class BanditModel(PythonModel):  # type: ignore[misc]
    """Maps features and a column ``channel`` to the expected acceptance of each trained action.

    Without the catalogue there are no priors; each action's observed rate is used instead.
    """

    def load_context(self, context: Any) -> None:
        self.bandit = Bandit.load(Path(context.artifacts["model"]))

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> pd.DataFrame:
        return expected_acceptance(self.bandit, model_input)


def expected_acceptance(bandit: Bandit, rows: pd.DataFrame) -> pd.DataFrame:
    """Predict the acceptance of the actions that a bandit was trained on."""
    state = bandit.state
    priors = {action: (state.first.rate(action), 1.0) for action in state.actions}
    model = state.model(priors)
    features = rows[list(state.encoder.features)].to_numpy(dtype=np.float64)
    acceptance = model.acceptance(features, rows["channel"].tolist())
    return pd.DataFrame(acceptance, columns=list(model.actions))
