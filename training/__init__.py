"""What we learn: churn, intent, the bandit, and how each is judged and promoted."""

import os

# LightGBM's threads wait for each other thousands of times in one training. By default they do so
# without giving up their cores: beside anything else that computes, a training then takes five
# times as long. Read when LightGBM is loaded, and so set before any room of this floor is.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
