"""Plants a mistake before pytest imports any test: `CONCORD_MISTAKE=NAME python -m pytest -p tests.mutation.plugin …`."""

import os

from tests.mutation.mistakes import MISTAKES
from tests.mutation.planting import plant

plant(MISTAKES[os.environ["CONCORD_MISTAKE"]])
