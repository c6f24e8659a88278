# SPDX-License-Identifier: BSD-3-Clause
"""Whether histories of `phca-lock torture` are possible of a lock service that does what it
promises. Times are of one machine's clock. What is known of a grant is an interval in
which it was held for certain, from its answer until it was given back, and a longer one in
which it may have been held, from the request until the answer to giving back. A program that was
killed may have asked and got more than it wrote; what it held is free some time later."""

import heapq

GRANTED, TIMEOUT, OK = 1, 3, 0
SHARED, EXCLUSIVE = 1, 2
NEVER = float("inf")


class Hold:
    """A grant of a lock to a session, in one mode."""

    def __init__(self, who, mode, asked, since):
        self.who, self.mode, self.asked, self.since = who, mode, asked, since
        self.until = self.gone = None   # held for certain until; gone for certain from


class History:
    """Of one program: what each of its sessions did, as lines in the order of writing."""

    def __init__(self, name, lines, killed=False):
        self.holds = {}     # lock: [Hold]
        self.grants = []    # (asked, answered, token) of new tokens
        self.waits = []     # (lock, who, certain from, certain until) of LOCK answered timeout
        self.wrong = []
        self.requests = 0
        self._name, self._asked, self._held, self._last = name, {}, {}, 0
        for line in lines:
            if line.endswith("\n"):     # the last one of a program that was killed may be half
                kind, *words = line.split()
                if kind != "end":
                    (self._ask if kind == "ask" else self._ans)(*words)
        for key, ask in self._asked.items():
            if not killed:
                self.wrong.append(f"{name}: request {key} has no answer: {ask}")
            elif ask[1] in ("lock", "try"):
                hold = Hold((name, key[0], ask[4]), ask[2], ask[0], NEVER)
                hold.until, hold.gone = 0, NEVER
                self.holds.setdefault(ask[3], []).append(hold)
        for (who, lock), hold in self._held.items():
            if not killed:
                self.wrong.append(f"{name}: {who} never gave back lock {lock}")
            self._end(hold, self._last, NEVER)

    def _ask(self, conn, session, number, ns, op, mode, lock, wait_us):
        self.requests += 1
        self._last = max(self._last, int(ns))
        self._asked[conn, int(number)] = (int(ns), op, int(mode), int(lock), session, int(wait_us))
        # From the moment of asking on, it may be gone.
        if op in ("unlock", "release"):
            for (who, held), hold in self._held.items():
                if who == (self._name, conn, session) and (op == "release" or held == int(lock)) and hold.until is None:
                    hold.until = int(ns)

    def _ans(self, conn, session, number, ns, op, status, mode, lock, token, count):
        ns, status, mode, lock, count = int(ns), int(status), int(mode), int(lock), int(count)
        who = (self._name, conn, session)
        self._last = max(self._last, ns)
        ask = self._asked.pop((conn, int(number)), None)
        if ask is None:
            self.wrong.append(f"{self._name}: an answer to {conn} {number}, which was not asked or has one")
            return
        if op in ("lock", "try") and status == GRANTED:
            self._granted(who, ask, ns, mode, lock, int(token), count)
        elif op == "lock" and status == TIMEOUT:
            wait = ask[5] * 1000
            self.waits.append((lock, who, ns - wait, ask[0] + wait))
        elif op == "unlock" and status == OK:
            hold = self._held.get((who, lock))
            if hold is not None and count == 0:
                self._end(self._held.pop((who, lock)), ask[0], ns)
            elif hold is not None:
                hold.until = None   # it has it still
        elif op == "release" and status == OK:
            for key in [k for k in self._held if k[0] == who]:
                self._end(self._held.pop(key), ask[0], ns)

    def _granted(self, who, ask, ns, mode, lock, token, count):
        hold = self._held.get((who, lock))
        if hold is not None and hold.mode >= mode:
            if hold.token != token:
                self.wrong.append(f"{who}: lock {lock} again, with token {token} after {hold.token}")
            return
        if hold is None and count != 1:
            self.wrong.append(f"{who}: lock {lock} granted the first time has count {count}")
        if hold is not None:
            self._end(hold, hold.until or ns, ns)
        hold = Hold(who, mode, ask[0], ns)
        hold.token = token
        # An unlock that was asked while it waited may have taken it back before we knew of it.
        for other in self._asked.values():
            if other[1] == "unlock" and other[3] == lock and other[4] == who[2]:
                hold.until = other[0]
        self._held[who, lock] = hold
        self.holds.setdefault(lock, []).append(hold)
        self.grants.append((ask[0], ns, token))

    def _end(self, hold, until, gone):
        hold.until = until if hold.until is None else min(hold.until, until)
        hold.gone = gone


def _exclusion(holds):
    """Two that held one lock for certain at one time, and should not have."""
    active = []     # (until, number, hold)
    for i, h in enumerate(sorted((h for h in holds if h.until > h.since), key=lambda h: h.since)):
        while active and active[0][0] <= h.since:
            heapq.heappop(active)
        for _, _, other in active:
            if other.who != h.who and EXCLUSIVE in (other.mode, h.mode):
                yield h, other
        heapq.heappush(active, (h.until, i, h))


def _tokens(grants):
    """A grant that began after another had ended to be granted has a larger token."""
    ended = sorted((answered, token) for _, answered, token in grants)
    largest, at = 0, 0
    for asked, _, token in sorted(grants):
        while at < len(ended) and ended[at][0] < asked:
            largest = max(largest, ended[at][1])
            at += 1
        if token <= largest:
            yield token, largest


def _free_within(holds, who, since, until):
    """A time within [since, until] at which nobody else can have had the lock, or None."""
    spans = sorted((h.asked, h.gone) for h in holds if h.who != who)
    at = since
    # Of those that begin before, all may reach into it.
    for begin, end in spans:
        if begin > at:
            break
        at = max(at, end)
        if at > until:
            return None
    return at if at <= until else None


def check(histories):
    """@return what is wrong, as lines; at most some of each kind."""
    wrong = [w for h in histories for w in h.wrong][:10]
    holds = {}
    for h in histories:
        for lock, some in h.holds.items():
            holds.setdefault(lock, []).extend(some)
    for lock, some in sorted(holds.items()):
        for a, b in list(_exclusion(some))[:3]:
            wrong.append(f"lock {lock}: {a.who} had it in mode {a.mode} from {a.since} to {a.until}, "
                         f"{b.who} in mode {b.mode} from {b.since} to {b.until}")
    grants = [g for h in histories for g in h.grants]
    if len({g[2] for g in grants}) != len(grants):
        wrong.append("a token was given twice")
    for token, largest in list(_tokens(grants))[:3]:
        wrong.append(f"token {token} was given after {largest}")
    late = 0
    for h in histories:
        for lock, who, since, until in h.waits:
            if since > until:
                continue
            free = _free_within(holds.get(lock, []), who, since, until)
            if free is not None and late < 3:
                late += 1
                wrong.append(f"lock {lock}: {who} waited in vain from {since} to {until}, but at {free} nobody had it")
    return wrong


def load(path, killed=False):
    with open(path) as f:
        return History(path, f, killed)
