"""Settings that every test shares."""

import os

import matplotlib
import torch
from hypothesis import HealthCheck, settings

matplotlib.use("Agg")

# The networks of the tests are tiny: a second thread only adds waiting. Tests that are
# about threads set their own number.
torch.set_num_threads(1)

# The same examples for everyone, so that a test passes everywhere or nowhere;
# NEW_EXAMPLES=1 in the environment draws others.
settings.register_profile(
    "same",
    derandomize="NEW_EXAMPLES" not in os.environ,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("same")
