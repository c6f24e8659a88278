#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The program as its user meets it: options, configuration errors, the prompt,
and leaving it in every way there is."""

import copy
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from lib import appliance, program, runner  # noqa: E402

NULL_PORT = ["--vdev=net_null0"]


def null_config():
    """The usual configuration on a port that needs nothing and receives nothing."""
    config = appliance.config()
    config["ports"][0]["device"] = "net_null0"
    return config


class Leaving(unittest.TestCase):
    """It stops cleanly: exit status 0, every buffer back, the last words said."""

    def box(self, **kwargs):
        # net_null would receive without end; it only has to be there.
        box = appliance.Appliance(null_config(), eal=["--vdev=net_null0,no-rx=1"], **kwargs)
        self.addCleanup(box.close)
        return box

    def check_clean(self, box, status):
        self.assertEqual(status, 0, box.output)
        self.assertIn("mbufs leaked: 0", box.output)
        self.assertIn("Bye...", box.output)

    def test_signals_with_and_without_a_prompt(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            for prompt in (True, False):
                with self.subTest(signal=number.name, prompt=prompt):
                    box = self.box(prompt=prompt)
                    if not prompt:
                        box.expect("forwarding", 30)
                    box.signal(number)
                    self.check_clean(box, box.wait())

    def test_signal_while_starting(self):
        box = self.box(prompt=False)
        box.expect("EAL: Selected IOVA", 30)
        box.signal(signal.SIGTERM)
        self.assertIn(box.wait(30), (0, -signal.SIGTERM))

    def test_quit(self):
        box = self.box()
        self.check_clean(box, box.quit())

    def test_end_of_terminal_input(self):
        box = self.box()
        box.do("show events")   # DPDK prints the prompt before it takes the terminal out of line mode
        box.write("\x04")
        self.check_clean(box, box.wait())

    def test_duration(self):
        box = self.box(prompt=False, args=["--duration", "1"])
        self.check_clean(box, box.wait(30))
        self.assertIn("they add up", box.output)

    def test_stats_period(self):
        box = self.box(prompt=False, args=["--duration", "3", "--stats-period", "1"])
        self.check_clean(box, box.wait(30))
        self.assertGreaterEqual(box.output.count("Throughput (since last show)"), 2)

    def test_cmdline_file(self):
        with tempfile.NamedTemporaryFile("w", suffix=".cmd") as f:
            f.write("# a comment\nshow qp all\n\nstart\nstop\nnonsense\nquit\n")
            f.flush()
            box = self.box(prompt=False, args=["--cmdline-file", f.name])
            self.check_clean(box, box.wait(30))
        self.assertIn("QP statistics, 6 queue pairs", box.output)
        self.assertRegex(box.output, re.escape(f.name) + r":6: .*not found")

    def test_idle_lcores_poll_or_sleep(self):
        for mode in ("poll", "sleep"):
            with self.subTest(mode):
                box = self.box(args=[f"--idle={mode}"])
                limit = time.monotonic() + 60
                lcores = []
                while not lcores or time.monotonic() < limit and any(
                        n["turns"] <= 100 or mode == "sleep" and n["sleeps"] == 0 for n in lcores):
                    box.do("delay 100")
                    lcores = list(box.figures("/phca/lcores").values())
                for lcore in lcores:
                    self.assertGreater(lcore["turns"], 100)
                    self.assertEqual(lcore["sleeps"] > 0, mode == "sleep", lcore)
                self.check_clean(box, box.quit())

    def test_one_lcore_for_each_role(self):
        config = null_config()
        config["lcores"] = {"hca": 1, "proxy": 2, "app": 0}
        box = appliance.Appliance(config, eal=["--vdev=net_null0,no-rx=1"],
                                  lcores="(0-2)@(0-1)", args=["--idle=sleep"])
        self.addCleanup(box.close)
        shown = box.do("show lcore")
        for lcore, role in config["lcores"].items():
            self.assertRegex(shown, rf"(?m)^ *{role} +{lcore} ")
        self.check_clean(box, box.quit())


class Options(unittest.TestCase):
    def run_it(self, *args, eal=()):
        """The program's exit status and output, to its end."""
        p = program.DpdkProgram(program.appliance(), eal=eal, args=args, memory_mb=512)
        self.addCleanup(p.close)
        return p.wait(40), p.output

    def test_version_and_help(self):
        for option, words in (("--version", r"dpdk-proxyhca \d+\.\d+"), ("--help", "--check-config")):
            status, text = self.run_it(option)
            self.assertEqual(status, 0)
            self.assertRegex(text, words)

    def test_bad_options_say_what_and_what_to_do(self):
        for args, words in (
                (["--nonsense"], "--nonsense"),
                (["--idle=perhaps"], "'poll' or 'sleep' expected"),
                (["--stats-period", "0"], "1..86400"),
                (["--duration", "x"], "seconds expected"),
                (["--config"], "needs a value"),
                (["surplus"], "surplus"),
                (["--config", "/nonexistent.json"], "/nonexistent.json")):
            with self.subTest(args):
                status, text = self.run_it(*args)
                self.assertEqual(status, 1, text)
                self.assertIn(words, text)

    def test_list_counters_is_complete(self):
        status, text = self.run_it("--list-counters")
        self.assertEqual(status, 0)
        rows = [x.split("\t") for x in text.splitlines() if x.count("\t") == 3]
        groups = {r[0] for r in rows}
        self.assertGreaterEqual(len(groups), 7)
        self.assertIn("rx_packets", {r[1] for r in rows})
        self.assertTrue(all(all(r) for r in rows), rows)

    def test_missing_device_is_named(self):
        with tempfile.NamedTemporaryFile("w", suffix=".json") as f:
            json.dump(null_config(), f)
            f.flush()
            status, text = self.run_it("--config", f.name)
        self.assertEqual(status, 1)
        self.assertIn("net_null0", text)


class CheckConfig(unittest.TestCase):
    """--check-config: file, line and JSON path of what is wrong."""

    def check(self, text):
        """Exit status, output and the file's name."""
        with tempfile.NamedTemporaryFile("w", suffix=".json") as f:
            f.write(text if isinstance(text, str) else json.dumps(text, indent=1))
            f.flush()
            p = program.DpdkProgram(program.appliance(), memory_mb=512,
                                    args=["--config", f.name, "--check-config"])
            self.addCleanup(p.close)
            return p.wait(40), p.output, f.name

    def bad(self, change, path, *words):
        """A change to the good configuration is refused at this path and its line."""
        config = copy.deepcopy(null_config())
        change(config)
        text = json.dumps(config, indent=1)
        status, output, name = self.check(text)
        self.assertEqual(status, 1, output)
        m = re.search(re.escape(name) + r":(\d+): (\S+): (.*)", output)
        self.assertTrue(m, output)
        self.assertEqual(m.group(2), path, output)
        for w in words:
            self.assertIn(w, m.group(3))
        # The line is where the last key of the path, or its element, stands.
        key = re.findall(r"[A-Za-z_]\w*", path)[-1]
        around = "\n".join(text.split("\n")[int(m.group(1)) - 1:int(m.group(1)) + 1])
        if path.endswith(key):
            self.assertIn(f'"{key}"', around)

    def test_good(self):
        status, output, name = self.check(null_config())
        self.assertEqual(status, 0, output)
        self.assertIn(f"{name}: ok: 1 ports, 6 queue pairs", output)

    def test_published_examples(self):
        for name in ("bcast.json", "demo.json", "echo.json"):
            with self.subTest(name):
                p = program.DpdkProgram(
                    program.appliance(), memory_mb=512,
                    args=["--config", os.path.join(runner.ROOT, "config", name), "--check-config"])
                self.addCleanup(p.close)
                self.assertEqual(p.wait(40), 0, p.output)

    def test_not_json(self):
        status, output, name = self.check('{\n "ports": [\n }\n')
        self.assertEqual(status, 1)
        self.assertIn(f"{name}:3:", output)

    def test_unknown_key(self):
        self.bad(lambda c: c["qps"][1].update(colour="red"), "qps[1].colour", "no key")

    def test_wrong_type(self):
        self.bad(lambda c: c["ports"][0].update(mtu="big"), "ports[0].mtu")

    def test_out_of_range(self):
        self.bad(lambda c: c["ports"][0].update(mtu=1000), "ports[0].mtu", "1000")

    def test_bad_address(self):
        self.bad(lambda c: c["ports"][0]["addresses"].append("10.0.0.300/24"),
                 "ports[0].addresses[2]", "10.0.0.300")

    def test_dangling_references(self):
        self.bad(lambda c: c["qps"][0].update(app="nobody"), "qps[0].app", "nobody")
        self.bad(lambda c: c["proxy_qps"][0]["rules"][0].update(filter="nothing"),
                 "proxy_qps[0].rules[0].filter", "nothing")
        self.bad(lambda c: c["proxy_qps"][0]["qps"].append("stranger"), "proxy_qps[0].qps[2]",
                 "stranger")

    def test_duplicates(self):
        self.bad(lambda c: c["qps"][1].update(name="ud-plain"), "qps[1].name", "ud-plain")

    def test_unknown_drivers_and_settings(self):
        self.bad(lambda c: c["offloads"][0].update(driver="magic"), "offloads[0].driver", "magic")
        self.bad(lambda c: c["offloads"][1]["settings"].update(speed=3),
                 "offloads[1].settings.speed", "speed")

    def test_filters_are_loaded(self):
        for change, word in (
                (lambda c: c["filters"][0].update(object="/nonexistent.o"), "/nonexistent.o"),
                (lambda c: c["filters"][0]["params"].update(nothing=1), "nothing"),
                (lambda c: c["filters"][0]["params"].update(min_len=-1), "min_len"),
                (lambda c: c["filters"][1].update(maps={"sources": {"10.0.0.0/99": 1}}),
                 "10.0.0.0/99")):
            config = copy.deepcopy(null_config())
            change(config)
            status, output, _ = self.check(config)
            self.assertEqual(status, 1, output)
            self.assertIn(word, output)


class Prompt(unittest.TestCase):
    """The prompt on a terminal."""

    @classmethod
    def setUpClass(cls):
        cls.box = appliance.Appliance(null_config(), eal=["--vdev=net_null0,no-rx=1"],
                                      args=["--idle=sleep"], start=False)
        cls.addClassCleanup(cls.box.close)

    def test_tab_completes_words_and_names(self):
        for typed, whole in (("show por\t", "show port "), ("sho\t", "show "),
                             ("show filter so\t", "source"), ("show offload de\t", "delay")):
            with self.subTest(typed):
                seen = len(self.box.output)
                self.box.write(typed)
                self.box.expect(re.escape(whole.split(" ")[0]))
                self.box.write("\n")
                self.box.expect(appliance.PROMPT)
                self.assertIn(whole.rstrip(), re.sub(r"\x1b\[[0-9;]*\w", "", self.box.output[seen:]))

    def test_help_lists_commands(self):
        text = self.box.do("help")
        for command in ("start", "stop", "quit", "show port", "show qp", "show cq", "show proxy",
                        "show filter", "show map", "show offload", "show verdict", "show config",
                        "set filter", "set map", "clear", "load config"):
            self.assertIn(command, text)

    def test_question_mark_explains(self):
        self.box.write("show ?")
        self.box.expect("filter")
        self.box.write("\x15\n")    # kill the line
        self.box.expect(appliance.PROMPT)

    def test_every_show_command_answers(self):
        for command in ("show port info all", "show port stats all", "show port verdicts 0",
                        "show verdict", "show neigh", "show qp all", "show qp 0x13", "show cq all",
                        "show events", "show congestion", "show rules", "show proxy", "show proxy stats", "show trace",
                        "show offload all",
                        "show filter all", "show filter size", "show map source sources",
                        "show app all", "show lcore", "clear port stats all", "clear qp stats",
                        "clear cq stats", "clear proxy stats", "clear filter all",
                        "clear offload delay", "clear app all", "clear verdict", "clear all"):
            with self.subTest(command):
                text = self.box.do(command)
                self.assertGreater(len(text.strip()), 10)
                self.assertNotIn("there is none", text)

    def test_what_does_not_exist_is_named(self):
        for command, word in (("show qp 0x99", "0x99"), ("show filter nix", "nix"),
                              ("show map size nix", "nix"), ("show offload nix", "nix"),
                              ("show app nix", "nix"), ("show port stats 7", "7"),
                              ("clear filter nix", "nix"), ("clear offload nix", "nix"),
                              ("clear app nix", "nix"),
                              ("set map nix nix 1 1", "nix"), ("help nix", "nix")):
            with self.subTest(command):
                self.assertIn(word, self.box.do(command))

    def test_congestion_is_shown(self):
        shown = self.box.do("show congestion")
        self.assertRegex(shown, r"on, connected QPs send ECT\(0\), CNPs have DSCP 48, .* in 50 us")
        self.assertRegex(shown, r"0 of \d+ queue pairs are limited")
        self.assertRegex(self.box.do("show qp 0x21"), r"rate (\d+)\.000 of \1\.000 Mb/s, not limited")
        self.assertNotIn("rate", self.box.do("show qp 0x11"))   # UD

    def test_start_and_stop(self):
        self.assertIn("Receiving", self.box.do("start"))
        self.assertIn("already", self.box.do("start"))
        self.assertIn("they add up", self.box.do("stop"))
        self.assertIn("does not", self.box.do("stop"))

    def test_show_config_can_be_loaded(self):
        shown = self.box.do("show config")
        config = json.loads(shown[shown.index("{"):shown.rindex("}") + 1])
        names = [q["name"] for q in config["qps"]]      # and what another test loaded
        self.assertEqual(names[:len(appliance.QPN)], list(appliance.QPN))
        with tempfile.NamedTemporaryFile("w", suffix=".json") as f:
            json.dump(config, f)
            f.flush()
            p = program.DpdkProgram(program.appliance(), memory_mb=512,
                                    args=["--config", f.name, "--check-config"])
            self.addCleanup(p.close)
            self.assertEqual(p.wait(40), 0, p.output)

    def test_load_config_adds_or_refuses_whole(self):
        more = {"offloads": [{"name": "null2", "driver": "null"}],
                "qps": [{"name": "ud-more", "type": "UD", "qpn": 0x31, "app": "sink2"}],
                "apps": [{"name": "sink2", "driver": "sink"}],
                "proxy_qps": [{"qps": ["ud-more"],
                               "rules": [{"filter": "size", "offload": "null2"}]}],
                "app_proxy": [{"name": "late", "match": {"exe": "kv*"}}]}
        bad = {"offloads": [{"name": "null3", "driver": "null"}],
               "qps": [{"name": "ud-bad", "type": "UD", "qpn": 0x11, "app": "sink"}],
               "app_proxy": [{"name": "never", "match": {}}]}
        with tempfile.TemporaryDirectory() as tmp:
            for name, config in (("more", more), ("bad", bad)):
                with open(f"{tmp}/{name}.json", "w") as f:
                    json.dump(config, f)
            self.box.do(f"load config {tmp}/bad.json")
            self.assertNotIn("null3", self.box.do("show offload all"))
            self.assertNotIn("never", self.box.do("show rules"))
            self.assertIn("1 entries of app_proxy", self.box.do(f"load config {tmp}/more.json"))
        self.assertIn("late: exe kv*; taken 0", self.box.do("show rules"))
        self.assertIn("null2", self.box.do("show offload all"))
        self.assertIn("size, offload null2", self.box.do("show qp 0x31"))


class Pipe(unittest.TestCase):
    def test_commands_from_a_pipe(self):
        with tempfile.NamedTemporaryFile("w", suffix=".json") as f:
            json.dump(null_config(), f)
            f.flush()
            r = subprocess.run(
                [program.appliance(), "-l", "0-1", "--no-huge", "-m", "512", "--no-pci",
                 f"--file-prefix=phcapipe{os.getpid()}", "--vdev=net_null0,no-rx=1", "--",
                 "--config", f.name, "-i"],
                input="show qp all\nquit\n", stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                text=True, timeout=60)
        self.assertEqual(r.returncode, 0, r.stdout)
        self.assertIn("6 queue pairs", r.stdout)


if __name__ == "__main__":
    runner.main()
