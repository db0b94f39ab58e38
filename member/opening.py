"""The door for the SDK, which finds it by the entry point `member` of the group `concord.inprocess`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from member import roll
from member.member import DAMAGED, FAILED, LOCKED, Member, Refused
from member.roll import MembersChangedError
from member.settings import MemberSettings, node_settings
from process.listener import InsecureBindError
from raft import DataDirectory, StorageError, describe_storage_error
from raft.storage_errors import DirectoryHeldError
from shard.running import check_certificate
from wire import TlsConfigError


def open_member(told: Mapping[str, Any], refused: Refused) -> Member:
    """Open a data directory as a node of a cluster, and start it.

    Args:
        told: see MemberSettings.
        refused: see Member; also for a directory or an address that cannot be used.

    Raises:
        ValueError: a setting is wrong, or needs consent.
    """
    try:
        settings = msgspec.convert(told, MemberSettings)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None
    try:
        member = Member(settings, _open_directory(settings), refused)
        member.start()
    except InsecureBindError as error:
        raise ValueError(f"listen: {error}") from error
    except DirectoryHeldError as error:
        raise refused(LOCKED, str(error)) from error
    except (StorageError, MembersChangedError) as error:
        raise refused(DAMAGED, str(error)) from error
    except TlsConfigError as error:
        raise ValueError(str(error)) from error
    except OSError as error:
        raise refused(FAILED, describe_storage_error(f"opening {settings.path} at {settings.listen}", error)) from error
    return member


def _open_directory(settings: MemberSettings) -> DataDirectory:
    told = node_settings(settings)
    check_certificate(told)
    directory = DataDirectory.open(Path(settings.path), cluster=told.cluster, node=told.id)
    try:
        roll.check(directory.disk, settings)
    except BaseException:
        directory.close()
        raise
    return directory
