#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""scripts/: what test.sh counts, and what deps.sh asks of apt."""

import os
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from lib import runner  # noqa: E402

SCRIPTS = os.path.join(runner.ROOT, "scripts")


class Counting(unittest.TestCase):
    """scripts/lib/count.sh with programs that end in every way there is."""

    def count(self, *calls):
        """Run calls of count.sh; (exit status, last line, all output)."""
        with tempfile.TemporaryDirectory() as logs:
            text = "\n".join(["set -u", f"root={logs} logs={logs}", ". scripts/lib/count.sh",
                              *calls, "finish"])
            r = subprocess.run(["bash", "-c", text], cwd=runner.ROOT, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True)
        return r.returncode, r.stdout.rstrip("\n").split("\n")[-1], r.stdout

    def test_cases_are_added_up(self):
        status, last, _ = self.count("program a 9 echo 'tests 3 passed 0 failed 0 skipped'",
                                     "program b 9 echo 'tests 4 passed 0 failed 2 skipped'",
                                     "step c 9 true")
        self.assertEqual((status, last), (0, "8 passed, 0 failed, 2 skipped"))

    def test_failures_show_name_and_output(self):
        status, last, text = self.count(
            "program unlucky 9 sh -c 'echo why; echo tests 3 passed 2 failed 0 skipped; exit 1'")
        self.assertEqual((status, last), (1, "3 passed, 2 failed, 0 skipped"))
        self.assertIn("unlucky", text)
        self.assertIn("why", text)

    def test_death_before_the_count_is_a_failure(self):
        for end in ("exit 0", "exit 1", "kill -SEGV $$"):
            status, last, _ = self.count(f"program a 9 sh -c 'echo ok 1; {end}'")
            self.assertEqual((status, last), (1, "0 passed, 1 failed, 0 skipped"), end)

    def test_death_after_the_count_is_a_failure(self):
        status, last, _ = self.count(
            "program a 9 sh -c 'echo tests 3 passed 0 failed 0 skipped; kill -ABRT $$'")
        self.assertEqual((status, last), (1, "3 passed, 1 failed, 0 skipped"))

    def test_running_nothing_is_a_failure(self):
        status, last, _ = self.count("program a 9 echo 'tests 0 passed 0 failed 0 skipped'")
        self.assertEqual((status, last), (1, "0 passed, 1 failed, 0 skipped"))

    def test_what_runs_beside_counts_too(self):
        both = ("both() { program a 9 echo 'tests 3 passed 0 failed 1 skipped'; step worse 9 false; }",
                "beside both", "step c 9 true", "join")
        status, last, text = self.count(*both)
        self.assertEqual((status, last), (1, "4 passed, 1 failed, 1 skipped"))
        self.assertIn("worse: exit status 1", text)
        self.assertLess(text.index("ok      c"), text.index("ok      a"), "kept until join")

    def test_death_beside_is_a_failure(self):
        status, last, _ = self.count("dies() { exit 0; }", "beside dies", "step c 9 true", "join")
        self.assertEqual((status, last), (1, "1 passed, 1 failed, 0 skipped"))

    def test_what_hangs_is_stopped(self):
        status, last, text = self.count("program a 1 sleep 60", "step b 1 sleep 60")
        self.assertEqual((status, last), (1, "0 passed, 2 failed, 0 skipped"))
        self.assertIn("stopped after 1 s", text)

    def test_skips_say_why(self):
        _, last, text = self.count(
            "program a 9 printf 'skip a.b: no root\\ntests 1 passed 0 failed 1 skipped\\n'")
        self.assertEqual(last, "1 passed, 0 failed, 1 skipped")
        self.assertIn("no root", text)


FAKES = {
    # Says that every package is there, except those of MISSING.
    "dpkg-query": """for p; do :; done
case " $MISSING " in *" $p "*) exit 1 ;; esac
printf 'ii '
""",
    "apt-get": """echo "apt-get $* frontend=$DEBIAN_FRONTEND" >>"$CALLS"
case " $* " in *" download "*) echo 9-amd64 >package.deb ;; esac
exit "${APT_STATUS:-0}"
""",
    "apt-cache": 'echo "$3"; echo "  Depends: linux-image-9-amd64"; echo "  Depends: other"\n',
    "dpkg-deb": 'read -r version <"$2"; mkdir -p "$3/lib/modules/$version"\n',
    "id": 'echo "$FAKE_UID"\n',
    "sudo": 'echo "sudo $1" >>"$CALLS"\n[ "$1" != -n ] || shift\nexec "$@"\n',
}


class Dependencies(unittest.TestCase):
    """scripts/deps.sh with programs in place of dpkg-query, apt-get, id and sudo."""

    def deps(self, *args, missing="", uid=0, sudo=True, apt_status=0, kernel=True):
        """Run it; (exit status, output, calls of apt-get and sudo). kernel: it is there.

        self.kernels is what is in the kernel's place afterwards"""
        with tempfile.TemporaryDirectory() as tmp:
            for name, text in FAKES.items():
                if name == "sudo" and not sudo:
                    continue
                path = os.path.join(tmp, name)
                with open(path, "w") as f:
                    f.write("#!/bin/sh\n" + text)
                os.chmod(path, 0o755)
            for name in ("bash", "sh", "sed", "env", "cat", "dirname", "mkdir", "mv", "rm"):
                os.symlink(f"/bin/{name}", os.path.join(tmp, name))
            calls, place = os.path.join(tmp, "calls"), os.path.join(tmp, "kernel")
            modules = os.path.join(place, "lib", "modules")
            if kernel:
                os.makedirs(modules)
            r = subprocess.run(
                [os.path.join(SCRIPTS, "deps.sh"), *args], stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                env={"PATH": tmp, "MISSING": missing, "FAKE_UID": str(uid), "CALLS": calls,
                     "APT_STATUS": str(apt_status), "PHCA_KERNEL_DIR": place})
            self.kernels = os.listdir(modules) if os.path.isdir(modules) else None
            made = open(calls).read().splitlines() if os.path.exists(calls) else []
        return r.returncode, r.stdout, made

    def test_nothing_missing_asks_nothing(self):
        self.assertEqual(self.deps("--test"), (0, "", []))

    def test_missing_is_installed_without_questions(self):
        status, _, calls = self.deps("--test", missing="meson tshark")
        self.assertEqual(status, 0)
        self.assertEqual(len(calls), 2)
        self.assertRegex(calls[0], "^apt-get .*update")
        self.assertRegex(calls[1], "^apt-get .*install -y .*meson tshark frontend=noninteractive$")

    def test_test_extras_only_when_asked(self):
        self.assertEqual(self.deps(missing="tshark"), (0, "", []))

    def test_kernel_is_unpacked_where_it_is_missing(self):
        self.assertEqual(self.deps(kernel=False), (0, "", []))
        status, text, calls = self.deps("--test", kernel=False)
        self.assertEqual(status, 0, text)
        self.assertEqual(len(calls), 2)
        self.assertRegex(calls[0], "^apt-get .*update")
        # Unpacked only, of the package that the other one names.
        self.assertRegex(calls[1], "^apt-get .*download linux-image-9-amd64 ")
        self.assertEqual(self.kernels, ["9-amd64"])

    def test_kernel_that_cannot_be_had(self):
        status, text, _ = self.deps("--test", kernel=False, apt_status=100)
        self.assertEqual((status, self.kernels), (1, None))
        self.assertIn("update failed", text)
        status, text, calls = self.deps("--test", kernel=False, uid=1000, sudo=False)
        self.assertEqual((status, calls), (1, []))
        self.assertIn("--test", text)

    def test_user_with_sudo(self):
        status, _, calls = self.deps(missing="meson", uid=1000)
        self.assertEqual(status, 0)
        # No terminal: sudo must not wait for a password.
        self.assertEqual(calls[0], "sudo -n")
        self.assertRegex(calls[-1], "install")

    def test_user_without_sudo_is_told_what_to_do(self):
        status, text, calls = self.deps(missing="meson", uid=1000, sudo=False)
        self.assertEqual((status, calls), (1, []))
        self.assertIn("apt-get install meson", text)

    def test_failed_download_is_an_error(self):
        status, text, calls = self.deps(missing="meson", apt_status=100)
        self.assertEqual((status, len(calls)), (1, 1))
        self.assertIn("update failed", text)

    def test_unknown_option(self):
        status, text, _ = self.deps("--everything")
        self.assertEqual(status, 1)
        self.assertIn("--everything", text)


class Usage(unittest.TestCase):
    def test_help_and_refusals(self):
        for name in ("build.sh", "deps.sh"):
            path = os.path.join(SCRIPTS, name)
            text = subprocess.run([path, "--help"], stdout=subprocess.PIPE, text=True, check=True)
            self.assertIn(f"scripts/{name}", text.stdout)
        for name in ("build.sh", "test.sh"):
            path = os.path.join(SCRIPTS, name)
            r = subprocess.run([path, "--nonsense"], stderr=subprocess.PIPE, text=True)
            self.assertNotEqual(r.returncode, 0, name)
            self.assertIn("--nonsense", r.stderr)


if __name__ == "__main__":
    runner.main()
