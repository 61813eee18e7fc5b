"""The batch bandit policy."""

from __future__ import annotations

import numpy as np
import pytest

from training.simulation.actions import K
from training.simulation.bandit_policy import FIRST_CONTACT_SHARE, BatchBanditPolicy
from training.simulation.observed_features import FEATURES


def test_few_contacts_are_made_before_the_first_churn_model():
    contexts = np.zeros((2, len(FEATURES)))
    allowed = np.array([[True] * K, [True] + [False] * (K - 1)])
    probabilities = BatchBanditPolicy().predict(contexts, allowed)
    assert probabilities[0] == pytest.approx(
        [1 - FIRST_CONTACT_SHARE] + [FIRST_CONTACT_SHARE / (K - 1)] * (K - 1)
    )
    assert probabilities[1].tolist() == [1.0] + [0.0] * (K - 1)
