# SPDX-License-Identifier: BSD-3-Clause
"""The data path's promise: after start no allocation, lock, log, wait, system
call or second clock. What counts is not the file but what a turn can reach: the
rule follows every name of a function from the entry points on."""

import re

import ctext

# Libraries whose functions are followed. lib/loop is the frame around a turn:
# it reads the one clock, and sleeps when idle.
FOLLOWED = tuple(f"lib/{lib}/" for lib in ("wire", "queue", "cc", "mem", "net", "filter", "proxy", "hca")) \
    + ("drivers/",)

# Public functions that lcores and applications call for every packet or request.
ENTRIES = re.compile(
    r"phca_(hca_turn|proxy_turn|app_turn|post_recv|post_send|poll_cq|filter_run|net_(input|resolve|"
    r"poll|is_ours)|cc_(cnp|sent|timer|next_send|np_mark)|wire_\w+|offload_(done|read|emit\w*))$")
# Members of drivers' tables that run in a turn.
CALLBACKS = re.compile(r"[.>](?:turn|submit|cancel|poll|rx_pkt_burst|tx_pkt_burst)\s*=\s*(\w+)")
# Named in a turn, but they work in a thread's first turn only.
FIRST_TURN = {"phca_filter_env_set"}
# An ethdev gets no now_ns; it reads a clock of its own, once a burst.
OWN_CLOCK = {"lane_now"}

BANNED = (
    (("malloc", "calloc", "realloc", "free", "strdup", "strndup", "aligned_alloc", "rte_malloc",
      "rte_zmalloc", "rte_zmalloc_socket", "rte_calloc", "rte_realloc", "rte_free"),
     "allocate when the object is created"),
    (("pthread_mutex_lock", "pthread_cond_wait", "pthread_cond_signal", "rte_spinlock_lock",
      "rte_rwlock_write_lock", "rte_rwlock_read_lock"),
     "send a command over a ring to the lcore that owns the state"),
    (("RTE_LOG", "RTE_LOG_DP", "rte_log", "printf", "fprintf", "vfprintf", "puts", "fputs"),
     "count it, or make it an event; the control thread speaks"),
    (("usleep", "sleep", "nanosleep", "sched_yield", "rte_delay_us", "rte_delay_ms", "poll",
      "epoll_wait", "select", "pthread_join"), "return, and go on in the next turn"),
    (("read", "write", "ioctl", "open", "close", "socket", "send", "recv", "syscall", "eventfd_write"),
     "leave system calls to control threads; phca_loop_wake() wakes another lcore"),
    (("clock_gettime", "gettimeofday", "time", "rte_rdtsc", "rte_get_timer_cycles",
      "rte_get_tsc_cycles", "phca_loop_now_ns"), "use the turn's now_ns: one clock read a turn"),
    (("phca_loop_call", "rte_rcu_qsbr_synchronize"), "only control threads may wait for an lcore"),
)
_MEND = {name: mend for names, mend in BANNED for name in names}


class _Function:
    def __init__(self, file, name, first, body, static):
        self.file, self.name, self.first, self.body, self.static = file, name, first, body, static


def _index(tree):
    """All functions: by name for public ones, by (file, name) for all."""
    public, local = {}, {}
    for name in tree.find("", ".c", ".h"):
        if not name.startswith(FOLLOWED):
            continue
        text = tree.text(name)
        lines = ctext.blank_directives(ctext.blank(text)).split("\n")
        for fn, first, last, static in ctext.functions(text):
            f = _Function(name, fn, first, "\n".join(lines[first - 1:last]), static)
            local[name, fn] = f
            # A header's static inline functions are everybody's.
            if not static or name.endswith(".h"):
                public[fn] = f
    return public, local


def _entries(tree, public, local):
    for f in public.values():
        if ENTRIES.match(f.name):
            yield f
    for name in tree.find("drivers/", ".c"):
        for m in CALLBACKS.finditer(ctext.blank(tree.text(name))):
            f = local.get((name, m.group(1))) or public.get(m.group(1))
            if f:
                yield f


def reached(tree):
    """{function: the one that led to it} of what the data path can reach."""
    public, local = _index(tree)
    todo = [(f, None) for f in _entries(tree, public, local)]
    found = {}
    while todo:
        f, caller = todo.pop()
        if f in found:
            continue
        found[f] = caller
        # A function that is only named, in a table or as an argument, counts too.
        for word in set(re.findall(r"(?<![.>\w])[A-Za-z_]\w*", f.body)) - {f.name} - FIRST_TURN \
                - OWN_CLOCK:
            callee = local.get((f.file, word)) or public.get(word)
            if callee:
                todo.append((callee, f))
    return found


def data_path(tree):
    """Nothing that a turn reaches allocates, locks, logs, waits or reads a clock."""
    call = re.compile(r"(?<![\w.>])(%s|\w+_LOG)\s*\(" % "|".join(_MEND))
    found = reached(tree)
    for f, caller in found.items():
        for m in call.finditer(f.body):
            way, at = [f.name], caller
            while at:
                way.append(at.name)
                at = found[at]
            mend = _MEND.get(m.group(1), _MEND["rte_log"])
            yield (f.file, f.first + f.body.count("\n", 0, m.start()),
                   f"{m.group(1)}() on the data path ({' < '.join(way)}): {mend}")


RULES = {"data_path": data_path}
