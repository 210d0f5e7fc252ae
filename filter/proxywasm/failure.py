"""What happens when a callback raises: a traceback in the log, and the action the root context has chosen."""

from types import TracebackType

from proxywasm.context import StreamContext
from proxywasm.types import Action, LogLevel, StreamType
from proxywasm.vm import VM, ContextSlot

_MAX_FRAMES = 20
_MAX_TEXT = 2000


def describe(error: BaseException) -> str:
    """The exception with its causes and the frames it passed, innermost last; long stacks lose their middle."""
    parts: list[str] = []
    seen: list[int] = []
    current: BaseException | None = error
    while current is not None and id(current) not in seen and len(seen) < 5:
        seen.append(id(current))
        parts.append(_describe_one(current))
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    parts.reverse()
    return "\nwhile handling it:\n".join(parts)


def _describe_one(error: BaseException) -> str:
    frames: list[str] = []
    trace: TracebackType | None = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        frames.append(f'  File "{code.co_filename}", line {trace.tb_lineno}, in {code.co_name}')
        trace = trace.tb_next
    if len(frames) > _MAX_FRAMES:
        half = _MAX_FRAMES // 2
        frames = [*frames[:half], f"  ... {len(frames) - _MAX_FRAMES} frames more ...", *frames[-half:]]
    try:
        text = str(error)
    except BaseException as second:
        text = f"(its text cannot be made: {type(second).__name__})"
    if len(text) > _MAX_TEXT:
        text = text[:_MAX_TEXT] + "..."
    return "\n".join(["Traceback (most recent call last):", *frames, f"{type(error).__name__}: {text}"])


def log_exception(callback: str, error: BaseException) -> None:
    """Log `error` at error level. Never raises: when memory stays short, it logs less."""
    try:
        if isinstance(error, MemoryError):
            _free_frames(error)
        VM.host.log(LogLevel.ERROR, f"uncaught exception in {callback}\n{describe(error)}")
    except BaseException:
        _log_bare()


def _free_frames(error: BaseException) -> None:
    """Let go of what the local variables of `error`'s frames hold, save those of the callback itself, which runs."""
    trace: TracebackType | None = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
        trace.tb_frame.clear()


def _log_bare() -> None:
    try:
        VM.host.log(LogLevel.ERROR, b"uncaught exception in a callback; its traceback could not be made")
    except BaseException:
        return


def fail_stream(context_id: int, callback: str, error: BaseException) -> int:
    """Log `error` and treat the stream as its root context has chosen; answers the action for the host."""
    log_exception(callback, error)
    context: ContextSlot | None = VM.contexts.get(context_id)
    if not isinstance(context, StreamContext):
        return Action.CONTINUE
    return give_up(context)


def give_up(context: StreamContext) -> int:
    """End the filter's work on a stream: let it pass, or refuse it; answers the action for the host."""
    context.failed = True
    try:
        if context.root.fail_open:
            for stream in StreamType:
                if context.paused & (1 << stream):
                    context.continue_stream(stream)
            return Action.CONTINUE
        context.refuse()
    except BaseException as second:
        log_exception("the answer to a failed callback", second)
    return Action.PAUSE
