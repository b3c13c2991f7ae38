"""The kit is in `sdk/`."""

import sys

sys.path.insert(0, "sdk")
