"""Learns churn, intent and the contextual bandit; evaluates, registers and promotes them."""

import os

# LightGBM's threads wait for each other thousands of times in one training. By default they do so
# without giving up their cores: beside anything else that computes, a training then takes five
# times as long. LightGBM reads it when it is loaded, so it is set before any module of this floor.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
