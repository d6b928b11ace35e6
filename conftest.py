"""Settings of every test run; notebooks' kernels inherit the environment."""

import os

os.environ["PLM_PROGRESS"] = "0"  # a bar's output can't be compared with a stored one
