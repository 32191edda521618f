from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from pysyncobj.config import SyncObjConf
from pysyncobj.node import Node
from pysyncobj.transport import Transport

F = TypeVar("F", bound=Callable[..., Any])

createJournal: Any
createPoller: Any
monotonicTime: Any
pickle: Any
Serializer: Any
PIPE_NOTIFIER_ENABLED: bool

def replicated(func: F) -> F: ...

class SyncObj:
    # Private state that gorilla/consensus/library.py names; the contract test watches it.
    _SyncObj__raftState: int
    _SyncObj__raftMatchIndex: dict[Node, int]
    _SyncObj__raftLog: Any
    _SyncObj__raftElectionDeadline: float
    _SyncObj__raftCommitIndex: int
    _SyncObj__newAppendEntriesTime: float
    _SyncObj__transferInProgress: bool
    _SyncObj__needLoadDumpFile: bool
    def _SyncObj__loadDumpFile(self, clearJournal: bool) -> None: ...
    def _SyncObj__doChangeCluster(self, request: list[Any], reverse: bool = False) -> bool: ...
    def __init__(
        self,
        selfNode: Node,
        otherNodes: Iterable[Node],
        conf: SyncObjConf,
        *,
        nodeClass: type[Node],
        transport: Transport,
    ) -> None: ...
    @property
    def raftLastApplied(self) -> int: ...
    @property
    def raftCommitIndex(self) -> int: ...
    @property
    def raftCurrentTerm(self) -> int: ...
    @property
    def otherNodes(self) -> set[Node]: ...
    def addNodeToCluster(self, node: Node, callback: Any = None) -> None: ...
    def forceLogCompaction(self) -> None: ...
    def transferLeadership(self, node: Node | None = None, callback: Any = None) -> None: ...
    def _onTick(self, timeToWait: float = 0.0) -> None: ...
    def _applyCommand(self, command: bytes, callback: Any, commandType: int | None = None) -> None: ...
    def _isLeader(self) -> bool: ...
    def _getLeader(self) -> Node | None: ...
