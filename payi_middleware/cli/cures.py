"""What each counted fault means, and its cure."""

from __future__ import annotations

__all__ = ["CURES", "UNKNOWN"]

UNKNOWN = (
    "{n} faults of the kind {kind}",
    "look for the log line of the logger `payi_middleware` that tells of it once",
)

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
    "hook_import": (
        "{n} libraries are installed but cannot be imported",
        "repair the installation; the log names the library",
    ),
}
