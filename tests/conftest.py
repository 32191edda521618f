"""Tests run as from a terminal, whatever started them."""

import signal

# A shell without job control starts what it puts in the background with SIGINT and SIGQUIT ignored,
# nohup ignores SIGHUP, and every process that a test starts would inherit that.
for _number, _usual in (
    (signal.SIGHUP, signal.SIG_DFL),
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGQUIT, signal.SIG_DFL),
):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _usual)
