-- SPDX-License-Identifier: BSD-3-Clause
-- Drive Pktgen-DPDK: send the pcap of port 0 and write what was sent and received.
--
-- Started by run.sh as "pktgen ... -- -s 0:FILE.pcap -f drive.lua". Settings come
-- from the environment, so that this file needs no editing:
--   PKTGEN_SECONDS  how long to send, seconds (5)
--   PKTGEN_COUNT    how many packets to send, 0 is until PKTGEN_SECONDS are over (0)
--   PKTGEN_RATE     percent of the link's speed, fractions allowed (100)
--   PKTGEN_RESULT   file for the figures, "name value" lines (pktgen.result)
--   PKTGEN_CAPTURE  1: capture what comes back; Pktgen names the pcap itself (0)
package.path = package.path .. ";?.lua"
require "Pktgen"

local function setting(name, default)
	return tonumber(os.getenv(name) or default)
end

local seconds = setting("PKTGEN_SECONDS", 5)
local count = setting("PKTGEN_COUNT", 0)
local rate = setting("PKTGEN_RATE", 100)
local capture = setting("PKTGEN_CAPTURE", 0) == 1
local result = os.getenv("PKTGEN_RESULT") or "pktgen.result"

local function link_up()
	return string.find(pktgen.linkState("0")[0], "UP") ~= nil
end

local function stats()
	return pktgen.portStats("0", "port")[0]
end

local out = assert(io.open(result, "w"))
local function say(name, value)
	out:write(string.format("%s %s\n", name, value))
	out:flush()
end

pktgen.screen("off")
for _ = 1, 300 do -- the other side may still be starting
	if link_up() then
		break
	end
	pktgen.delay(100)
end
if not link_up() then
	say("error", "link_down")
	out:close()
	pktgen.quit()
	os.exit(1)
end

pktgen.set("0", "rate", rate)
pktgen.set("0", "count", count)
if capture then
	pktgen.capture("0", "on")
end
pktgen.clr()
pktgen.delay(200)

local before = stats()
say("started", 1)
pktgen.start("0")
local waited = 0
while waited < seconds * 1000 do
	pktgen.delay(100)
	waited = waited + 100
	if count > 0 and pktgen.isSending("0")[0] == "n" then
		break
	end
end
pktgen.stop("0")
pktgen.delay(1500) -- the figures are refreshed once a second
local after = stats()
if capture then
	pktgen.capture("0", "off")
end

say("tx_packets", after.opackets - before.opackets)
say("tx_bytes", after.obytes - before.obytes)
say("tx_errors", after.oerrors - before.oerrors)
say("rx_packets", after.ipackets - before.ipackets)
say("tx_ms", waited)
say("done", 1)
out:close()
pktgen.quit()
