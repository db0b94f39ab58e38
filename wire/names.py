"""How the instances of a service are named among keys: `services/<service>/<instance>`. Pure."""

import re

SERVICE_PREFIX = "services/"
SERVICE_NAME = re.compile(r"[A-Za-z0-9._~-]{1,200}")
SERVICE_NAME_MESSAGE = "names of services and instances have 1 to 200 letters, digits or any of . _ ~ -"
