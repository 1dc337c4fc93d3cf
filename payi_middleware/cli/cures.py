"""What each counted fault means, and its cure."""

from __future__ import annotations

__all__ = ["CURES", "UNKNOWN"]

UNKNOWN = (
    "{n} faults of the kind {kind}",
    "look for the log line of the logger `payi_middleware` that tells of it once",
)

_OURS = "report it with the traceback in the log; the application's calls went through"
_AUDIT = "report it with the traceback in the log, then run `payi limits audit`"

CURES: dict[str, tuple[str, str]] = {
    "dropped": (
        "{n} events were dropped, because the spool could not be written and the memory queue was full",
        "free disk space, or set PAYI_SPOOL_DIR to a folder that the application may write",
    ),
    "spool_refused": (
        "the spool could not be written {n} times; events waited in memory",
        "free disk space, set PAYI_SPOOL_DIR to a folder that the application may write, or raise PAYI_SPOOL_BYTES",
    ),
    "spool_torn": (
        "{n} records of the spool were damaged and are left out",
        "check the disk; a power cut does this too, and the files are kept as *.damaged",
    ),
    "intake": (
        "what dead processes left could not be taken in {n} times; it waits in the spool",
        "see the application's log; give all processes that share the spool the same user, or this one the right to write there",
    ),
    "spool_foreign": (
        "{n} spool files are of another version",
        "upgrade the older side, or remove the files once all run one version",
    ),
    "sink_refused": (
        "the store refused events {n} times; they wait in the spool",
        "see the application's log: locked, missing, full, corrupt, read-only or away; each message names its cure",
    ),
    "event_unstorable": (
        "{n} events could not be stored by any means and were left out",
        "report them with the traceback in the log",
    ),
    "record_unreadable": (
        "{n} records of the spool could not be read",
        "check that all processes run the same version",
    ),
    "headers_ignored": (
        "{n} requests carried xProxy headers that were ignored, since their peer is not trusted",
        "if the peer is your own gateway, name it in the setting trusted_hosts (PAYI_TRUSTED_HOSTS)",
    ),
    "setting_unknown": (
        "a variable of the environment looks like a setting and is none",
        "see the log for its name, and docs/settings.md for those that there are",
    ),
    "header_dropped": (
        "{n} xProxy headers were malformed and dropped",
        "see the log for the first one, and Pay-i's formats",
    ),
    "field_cut": ("{n} values were longer than allowed and were cut", "give shorter ids and properties"),
    "field_dropped": ("{n} values were malformed and dropped", "see the log for the first one"),
    "tags_dropped": ("{n} request tags were dropped", "a tag is 1 to 64 of A-Z a-z 0-9 _ -, at most 32 a call"),
    "identify_raised": ("`identify` raised {n} times; those users are unknown", "see the traceback in the log"),
    "identify_answer": ("`identify` answered nonsense {n} times", "return a user id, a mapping or an Attribution"),
    "identify_fields": ("`identify` returned unknown fields {n} times", "return only fields of Attribution"),
    "late": (
        "{n} calls began over 15 minutes after their request had ended and are unattributed",
        "put a `track(...)` block around work that outlives its request",
    ),
    "carrier_refused": ("{n} carriers were ignored", "give both processes the same PAYI_CARRIER_KEY"),
    "hook_fallback": (
        "{n} libraries lack the seam in the installed version; custom transports are not seen",
        "install a version that docs/ names, or wrap the client's transport in PayiTransport",
    ),
    "own_header_signed": (
        "{n} xProxy headers were sent on to the provider, because a signature covers them",
        "give them before the request is signed: in botocore's event `before-call`, or with a `track` block",
    ),
    "prices_update": (
        "newer rates could not be fetched or read {n} times; those in use stay",
        "see the log; run `payi prices update`",
    ),
    "delivery": (
        "the server that events go to could not be had {n} times; they wait in the store",
        "see the log; check PAYI_BASE_URL and the network. Nothing is lost",
    ),
    "delivery_key": (
        "the server refused the key {n} times; events wait in the store",
        "set PAYI_API_KEY to a key that is valid and may ingest, and start anew",
    ),
    "delivery_rejected": (
        "the server refused {n} events; they are set aside",
        "mend what the log or this report names, then run `payi spool retry`",
    ),
    "delivery_store": (
        "events could not be read from the store to be delivered {n} times",
        "see the log; each message names its cure",
    ),
    "delivery_dropped": (
        "{n} events were not sent on, since the store is in memory and its queue was full",
        "name a store's file: it holds what waits",
    ),
    "delivery_lost": (
        "{n} events were refused and, since the store is in memory, not set aside",
        "name a store's file, and see the log for the reason",
    ),
    "ledger_away": (
        "the ledger of limits was out of reach {n} times",
        "see the log; check the setting ledger (PAYI_LEDGER), the network and the server there",
    ),
    "limit_open": (
        "{n} calls went through while the ledger was out of reach, since their limits say so; they are counted when it is back",
        "see the log; a limit with on_error='closed' lets none through",
    ),
    "limit_unsettled": (
        "{n} calls could not be kept until the ledger was back",
        "run `payi limits audit`, which counts by the events",
    ),
    "limit_forgotten": (
        "{n} calls were found so late that the ledger may not know any more whether it counted them, and were not counted",
        "run `payi limits audit`, which counts by the events",
    ),
    "limit_owed": (
        "calls that were stored while the ledger was away could not be written down or not be counted yet, {n} times",
        "see the log for the reason; `payi limits audit` counts them",
    ),
    "limit_unread": (
        "{n} requests of more than a megabyte took too long to read, and were held for as if they said nothing of their answers",
        "raise ledger_timeout (PAYI_LEDGER_TIMEOUT), or send less at once",
    ),
    "request_packed": (
        "{n} requests were packed in a way that cannot be undone here, so that nothing of them was read",
        "install brotli or backports.zstd if they are packed so; up to 16 MB are unpacked, and 100 times what is sent",
    ),
    "limit_stale": (
        "{n} calls met limits that changed faster than they could be read",
        "see who defines limits again and again",
    ),
    "limit_fault": (
        "{n} calls could not be held to their limits, or not counted, by a fault of ours",
        "report it with the traceback in the log, then run `payi limits audit`",
    ),
    "limit_unknown": (
        "{n} calls named limits in limit_ids that are not there, and went unlimited by them",
        "see the log for the first name, and `payi limits list` for those that there are, by id or name",
    ),
    "limit_nobodys": (
        "{n} calls had no user or account, so limits per user or account let them pass and counted them to nobody",
        "give the middleware `identify`, put `track(user_id=...)` around work outside requests, or add a limit without `per` "
        "for all calls",
    ),
    "limit_unreadable": (
        "{n} limits could not be read by processes, and hold no calls back",
        "see `payi limits list`; define them anew, or delete them with `payi limits delete`",
    ),
    "on_alert": (
        "on_alert raised an error {n} times",
        "see the log for its traceback",
    ),
    "alert_unsent": (
        "webhooks did not take alerts {n} times; they get them again for three days",
        "see the log, and whether the address answers",
    ),
    "alert_refused": (
        "{n} alerts could not go to a webhook, and will not",
        "see the log; a webhook that is not at a public address needs alert_networks (PAYI_ALERT_NETWORKS)",
    ),
    "alert_lost": (
        "{n} alerts were given up after three days",
        "see the log, and whether the webhook's address is right",
    ),
    "identify_awaited": (
        "{n} calls of synchronous code on the event loop could not await the async `identify`; their users are unknown",
        "make `identify` synchronous, or such calls in a thread",
    ),
    "identity_raised": (
        "the framework could not tell its user {n} times",
        "see the traceback in the log, or give `identify`",
    ),
    "properties_dropped": (
        "{n} calls had more properties than are kept; the rest was dropped",
        "give fewer properties",
    ),
    "second_face": (
        "a middleware inside another one of the same meter was given `identify` or `cost_headers`, which nobody asks",
        "give them to the outer middleware",
    ),
    "carrier_key": (
        "no key for carriers could be kept, so only the process that made a carrier can read it",
        "set PAYI_CARRIER_KEY, or let the application write the folder of its spool",
    ),
    "hosts_full": (
        "{n} look-ups were of more hosts than are remembered, and took longer",
        "nothing is lost; call fewer different hosts if it shows in your timings",
    ),
    "spool_kept": (
        "{n} spool files could not be deleted after their delivery",
        "let the application write the folder of its spool; what they hold is not stored twice",
    ),
    "flush": (
        "the last events could not be delivered {n} times at shutdown",
        "nothing is lost: they wait in the spool for the next start, or for `payi report`",
    ),
    "exit": (
        "the last events could not be delivered {n} times at exit",
        "nothing is lost: they wait in the spool for the next start, or for `payi report`",
    ),
    "thread_refused": (
        "the process could not start a thread {n} times",
        "raise its limit of threads; events wait in the spool",
    ),
    "prepare": ("rates could not be loaded {n} times", "see the traceback in the log, and repair the installation"),
    "pricing": (
        "{n} calls could not be priced and have no cost, by a fault of ours",
        "report it, then run `payi reprice`",
    ),
    "include_usage": (
        "{n} streams could not be asked for their usage, or the chunk that tells it not be hidden",
        _OURS,
    ),
    "lesson": ("{n} calls could not be learned from; estimates of their models stay as they were", _OURS),
    "texts": ("the texts of {n} calls could not be told apart, so that their tokens are counted by length", _OURS),
    "count": ("{n} texts could not be counted, so that their tokens are taken by length", _OURS),
    "ranks": (
        "the tokenizer's ranks could not be had, so that tokens are counted by length",
        "pip install 'payi-middleware[offline]', or let tiktoken download them (the log tells what failed)",
    ),
    "alerts": ("alerts could not be read from the ledger {n} times; they wait there", "see the log for the reason"),
    "ledger_unreachable": (
        "limits could not be counted {n} times, since the ledger was out of reach",
        "see the log; check the setting ledger (PAYI_LEDGER), the network and the server there",
    ),
    "ledger_steps_lost": (
        "{n} steps could not be kept until the ledger was back",
        "run `payi limits audit`, which counts by the events",
    ),
    "ledger_lost": (
        "the ledger came back without its data, or with another's: limits were put back, what was spent was not",
        "run `payi limits audit`, which counts by the events; let Valkey or Redis keep its data (docs/valkey.md)",
    ),
    "ledger_went_back": (
        "the ledger lost what was written last, as after a failover",
        "run `payi limits audit`, which counts by the events",
    ),
    "ledger_evicts": (
        "Valkey or Redis may drop what the ledger counts when its memory is full",
        "set its `maxmemory-policy` to `noeviction`",
    ),
    "hook": ("{n} requests could not be looked at and went through unseen", _OURS),
    "call_begin": ("{n} calls could not be looked at and went through unseen", _OURS),
    "tap": ("{n} answers could not be watched; their calls are recorded without a cost", _OURS),
    "call_feed": ("parts of {n} answers could not be kept", _OURS),
    "call_end": ("{n} answers could not be read; their calls are recorded without a cost", _OURS),
    "attribution": ("{n} calls could not be attributed", _OURS),
    "record": ("{n} events that `Meter.record` was told could not be kept", _OURS),
    "limit_dearest": ("the dearest model of a maker could not be found {n} times, by a fault of ours", _AUDIT),
    "limit_terms": (
        "where {n} calls were going to be processed could not be told beforehand, by a fault of ours",
        _AUDIT,
    ),
    "limits_round": ("the leases of running calls could not be renewed {n} times, by a fault of ours", _AUDIT),
    "ledger_step": ("{n} steps could not be counted by the ledger, by a fault of ours", _AUDIT),
    "ledger_fault": ("{n} steps of the ledger failed, by a fault of ours", _AUDIT),
    "hook_import": (
        "{n} libraries are installed but cannot be imported",
        "repair the installation; the log names the library",
    ),
}
