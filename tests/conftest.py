"""Settings of the whole test run, made before anything loads torch."""

import os

# OpenMP threads that spin while they wait make a machine with other work several times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
