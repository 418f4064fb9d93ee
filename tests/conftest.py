"""Settings that every test shares."""

import matplotlib
import torch

matplotlib.use("Agg")

# The networks of the tests are tiny: a second thread only adds waiting. Tests that are
# about threads set their own number.
torch.set_num_threads(1)
