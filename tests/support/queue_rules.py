"""The plain model's rules of what is held and kept; those of getting are in ``queue_model``."""

from typing import Any

from gorilla.domain import commands as c
from gorilla.domain.limits import NEVER_MS
from tests.support.lock_model import kept_ms, shown_ms
from tests.support.queue_state import BOUNDS, Answer, Hold, Session, State, answer

Given = tuple[Answer, Any]
"""An answer, and (lock, secret) of each lease in it, or the id of the session in it."""

NOT_FOUND: Given = (answer("NotFound"), ())


def bare(name: str, *rest: Any, left: int | None = None) -> Given:
    return answer(name, *rest, left=left), ()


class Rules(State):
    """What may be done with what there is."""

    def rule(self, command: c.Plain) -> Given:
        match command:
            case c.Release() | c.TakeBack() | c.ReleaseAll():
                return self.release(command)
            case c.Renew() | c.RenewAll():
                return self.renew(command)
            case c.Leave():
                return self.hang_up(command)
            case c.OpenSession() | c.KeepSession() | c.EndSession():
                return self.live(command)
            case c.Force() | c.AskRelease():
                return self.press(command)
        return self.ruled(command)

    def ruled(self, command: c.Plain) -> Given:
        if isinstance(command, c.NoteMembers):
            return self.note_members(command)
        assert isinstance(command, c.SetPolicy | c.DropPolicy)
        if isinstance(command, c.DropPolicy):
            rest = [each for each in self.policies if each.prefix != command.prefix]
            if len(rest) == len(self.policies):
                return NOT_FOUND
            self.policies = rest
            return bare("Done", True)
        policy = command.policy
        rest = [each for each in self.policies if each.prefix != policy.prefix]
        if policy in self.policies:
            return bare("Done", False)
        if len(rest) >= BOUNDS.policies:
            return bare("Full", "policies_max")
        self.policies = [*rest, policy]
        return bare("Done", True)

    def press(self, command: c.Force | c.AskRelease) -> Given:
        holds = self.on(command.lock)
        names = tuple(hold.holder for hold in holds)
        for hold in holds:
            if isinstance(command, c.Force):
                self.end(hold, "Forced")
            else:
                self.note("ReleaseAsked", hold.lock, hold.holder, hold.token)
        if isinstance(command, c.Force):
            return bare("ForcedAway", names, tuple(hold.token for hold in holds))
        return bare("ReleaseWished", names)

    def proven(self, command: Any) -> list[Hold]:
        """Return what a command's secret proves: of its lock the first, or all of a group."""
        if getattr(command, "lock", ""):
            return [hold for hold in self.on(command.lock) if hold.secret == command.secret][:1]
        return [hold for hold in self.holds if hold.group == command.secret]

    def release(self, command: c.Release | c.ReleaseAll | c.TakeBack) -> Given:
        holds = self.proven(command)
        if isinstance(command, c.TakeBack):
            holds = [hold for hold in holds if not hold.is_known]
        if not holds:
            return NOT_FOUND
        for hold in holds:
            self.end(hold, "ReleasedEvent", 0)
        if isinstance(command, c.Release):
            return bare("Released", holds[0].token)
        return bare("ReleasedAll", tuple(hold.token for hold in holds))

    def renew(self, command: c.Renew | c.RenewAll) -> Given:
        holds = self.proven(command)
        for hold in holds:
            if command.holder not in (None, hold.holder):
                return bare("NotHolder", hold.holder)
            left_ms = shown_ms(hold.ends_ms - self.now_ms) if hold.ends_ms != NEVER_MS else 0
            if command.ttl_ms < left_ms:
                return bare("TtlTooShort", left=left_ms)
        holds = [hold for hold in holds if self.lasting_ms(hold, command.ttl_ms)]
        if not holds:
            return NOT_FOUND
        for n, hold in enumerate(holds):
            self.extend(hold, command.ttl_ms)
            hold.secret = command.new_secret
            if isinstance(command, c.RenewAll):
                hold.secret, hold.group = f"{command.new_secret}.{n}", command.new_secret
        of = tuple((hold.lock, hold.secret) for hold in holds)
        pairs = [(hold.token, hold.secret) for hold in holds]
        if isinstance(command, c.RenewAll):
            return answer("RenewedAll", pairs, left=self.left(*holds)), of
        return answer("Renewed", pairs[0], left=self.left(*holds)), of

    def lasting_ms(self, hold: Hold, ttl_ms: int) -> int:
        """Return for how long an extension would let a hold last; less than one is none."""
        if hold.ends_ms == NEVER_MS:
            return NEVER_MS
        return max(self.allowed_ms(hold, ttl_ms), shown_ms(hold.ends_ms - self.now_ms))

    def allowed_ms(self, hold: Hold, ttl_ms: int) -> int:
        policy = self.policy(hold.lock)
        allowed = [ttl_ms, *([policy.ttl_ms_max] * bool(policy.ttl_ms_max))]
        if policy.lifetime_ms_max:
            last_ms = hold.granted_ms + kept_ms(policy.lifetime_ms_max)
            allowed.append(shown_ms(max(0, last_ms - self.now_ms)))
        return min(allowed)

    def extend(self, hold: Hold, ttl_ms: int) -> None:
        if hold.ends_ms != NEVER_MS:
            allowed_ms = self.allowed_ms(hold, ttl_ms)
            hold.ends_ms = max(hold.ends_ms, self.now_ms + kept_ms(allowed_ms))
        hold.is_known = True
        self.note("Extended", hold.lock, hold.holder, hold.token)

    def lengthen(self, hold: Hold, ttl_ms: int) -> None:
        """Let a hold that is asked for again last as long as that, if it would end before."""
        is_longer = ttl_ms and self.now_ms + kept_ms(ttl_ms) > hold.ends_ms
        if is_longer and self.lasting_ms(hold, ttl_ms):
            self.extend(hold, ttl_ms)
        is_ruled = self.policy(hold.lock).lifetime_ms_max > 0
        as_its_session = hold.session and not ttl_ms and not is_ruled
        if as_its_session and hold.ends_ms != NEVER_MS:
            hold.ends_ms = NEVER_MS
            self.note("Extended", hold.lock, hold.holder, hold.token)

    def hang_up(self, command: c.Leave) -> Given:
        for wait in self.waits:
            if (wait.ticket, wait.secret) == (command.ticket, command.secret):
                self.leave(wait, "hung_up")
                return bare("Done", True)
        return bare("Gone")

    def live(self, command: c.OpenSession | c.KeepSession | c.EndSession) -> Given:
        known = next((each for each in self.sessions if each.id == command.session), None)
        if isinstance(command, c.OpenSession):
            if known is None and len(self.sessions) >= BOUNDS.sessions:
                return bare("Full", "sessions_max")
            if known is None:
                self.session_numbers += 1
                ends_ms = self.now_ms + kept_ms(command.ttl_ms)
                known = Session(
                    command.session, self.session_numbers, command.holder, command.ttl_ms, ends_ms
                )
                self.sessions.append(known)
        elif known is None:
            return bare("SessionNotFound")
        elif isinstance(command, c.EndSession):
            return bare("SessionEnded", self.end_session(known, "ReleasedEvent"))
        else:
            known.ends_ms = self.now_ms + kept_ms(known.ttl_ms)
        left_ms = shown_ms(known.ends_ms - self.now_ms)
        return answer("SessionAlive", known.number, left=left_ms), known.id

    def note_members(self, command: c.NoteMembers) -> Given:
        if command.index <= self.members_index or command.members == self.members:
            return bare("Done", False)
        if self.members:
            self.note("MembersChanged", command.members)
        self.members_index, self.members = command.index, command.members
        return bare("Done", True)
