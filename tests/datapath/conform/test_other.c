/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Clauses that do not apply, each with its reason, so that the table says what
 * is left out on purpose. No ladder runs from here.
 */
#include "conform.h"

#define NOT_APPLICABLE PHCA_CLAUSE_NOT_APPLICABLE

NOT_APPLICABLE("9.7.7.2", rc_resp, credits_given, "a responder gives end-to-end credits in its ACKs",
	"they are optional for it; all ACKs have the code 31, which gives none");
NOT_APPLICABLE("9.7.7.2", rc_req, credits_taken, "a requester sends no more SENDs than it has credits",
	"what a peer gives limits nothing here: SENDs that find no receive there get RNR NAKs");
NOT_APPLICABLE("9.4.2", rc_resp, resync, "RESYNC brings sender and receiver of a reliable datagram together",
	"there is no reliable datagram");
NOT_APPLICABLE("9.7.8", rc_resp, reliable_datagram, "reliable datagram: end-to-end contexts, RDETH",
	"there is no reliable datagram; its packets are dropped with the verdict transport");
NOT_APPLICABLE("A14", rc_resp, extended_reliable_connection, "extended reliable connection",
	"there are no XRC queue pairs; their packets are dropped with the verdict transport");
NOT_APPLICABLE("9.8.4", ud_resp, raw_datagram, "raw datagrams", "RoCEv2 has none");
NOT_APPLICABLE("9.6.1.5", ud_resp, local_route_header, "LID, VL and LRH are those of the queue pair",
	"RoCEv2 has no LRH; MAC, VLAN and IP addresses are checked in its place");
NOT_APPLICABLE("17.2.8", state, path_migration, "alternate paths, migration states and their events",
	"migration is not offered; MigReq of packets received is not looked at, that of packets sent is 1");
NOT_APPLICABLE("10.2.4.4", ud_resp, special_queue_pairs, "QP 0 and QP 1, and their keys",
	"RoCEv2 has no subnet management; the numbers are not given to queue pairs");
NOT_APPLICABLE("10.7.2", rc_req, fast_register, "work requests that register memory",
	"regions are registered by control");
NOT_APPLICABLE("11.4.1.1", uc_req, bind_on_uc, "UC queue pairs bind memory windows",
	"windows are bound on RC; a UC peer may use those of type 1");
