"""What a response has told so far about the wanted members."""

from typing import final

from tallyman.usage.json_members import MemberScanner
from tallyman.usage.json_pointer import resolve
from tallyman.usage.usage import UsageReader
from tallyman.usage.wanted import USAGE, WantedMembers


@final
class Findings:
    """Joins what one or many JSON documents (the events of a stream) say; for each pointer the last non-null counts.

    A value that was there but could not be known replaces an earlier one: rather none than one that is out of date.
    """

    def __init__(self, wanted: WantedMembers) -> None:
        self._wanted: WantedMembers = wanted
        self.usage: UsageReader = UsageReader()
        self.values: list[object] = [None] * len(wanted.paths)  # for each pointer
        self.reasons: list[str] = [""] * len(wanted.names)  # for each member: `too_long`, `bad_json`

    def take(self, document: MemberScanner) -> None:
        if not document.found:
            return
        wanted = self._wanted
        for member in range(len(wanted.names)):
            reason = document.reasons[member]
            if reason or document.values[member] is not None:
                self.reasons[member] = reason
        if document.values[USAGE] is not None:
            self.usage.take(document.values[USAGE])
        for place in range(len(wanted.paths)):
            member = wanted.members[place]
            value = resolve(document.values[member], wanted.paths[place])
            if value is not None or document.reasons[member]:
                self.values[place] = value
