"""Control channels in white noise, channel and noise estimated: read a decibel below the weakest data, and nothing read that was not sent.

phy_control.py [SHARE]: share of the trials (default 1; less is a quick look, whose bounds on rare events may fail). Seed 1, default
numerology. SNR is that of a data RE at full-band power. The weakest MCS has its 10 % block error point at -3.1 dB with known channel
(phy/mcs.c), at -3.6 with more iterations of its decoder; by the harder of the two control must be missed less than once in a hundred at -4.6 dB: grants on 8 CCEs, system information (long) on 8 as well,
uplink control. A level may be read no later than 0.3 dB above its entry in phy/dl_level.c. An acknowledgement out of a NACK, no grant or
silence: less than 1e-4 at the upper end of the 95 % interval, at the threshold, 3 dB below and 10 dB above. Downlink messages out of
nothing or of others' messages: none, and less than 1e-7 a slot expected from the codewords that belonged to nobody.
"""
import sys

from lib import gate

SHARE = float(sys.argv[1]) if len(sys.argv) > 1 else 1
WEAKEST_DATA_DB = -3.6
LIMIT_DB = WEAKEST_DATA_DB - 1
TABLE_SLACK_DB = 0.3
FALSE_MESSAGES = 1e-7
FALSE_ACKS = 1e-4
DEVICES, DEVICES_SNR_DB, SYSINFO_CCES = 8, 10, 4


def run(direction, trials, false_trials):
    return gate.wdmoe("phy", "control", "--dir", direction, "--trials", max(100, int(SHARE * trials)), "--false-trials",
                      max(100, int(SHARE * false_trials)), "--seed", 1)


dl, ul = gate.each(lambda a: run(*a), [("dl", 4000, 20000), ("ul", 10000, 60000)])
level = {(t["size"], t["level"]): t for t in dl["thresholds"]}
snr_db = {f"{size}_{cces}": t["snr_at_1_percent_db"] for (size, cces), t in level.items()}
fits = level["long", 1]["snr_at_1_percent_db"] <= DEVICES_SNR_DB and DEVICES + SYSINFO_CCES <= dl["n_cce"]
checks = {
    "grants_below_data": level["short", 8]["snr_at_1_percent_db"] <= LIMIT_DB,
    "long_messages_below_data": level["long", 8]["snr_at_1_percent_db"] <= LIMIT_DB,
    "uplink_below_data": ul["threshold"]["snr_at_1_percent_db"] <= LIMIT_DB,
    "table_holds": all(t["snr_at_1_percent_db"] <= t["table_db"] + TABLE_SLACK_DB for t in level.values()),
    "nothing_wrong_read": not any(t["wrong"] for t in level.values()) and not ul["threshold"]["wrong"],
    "no_false_message": not any(f["messages"] for f in dl["false_messages"]),
    "false_messages_expected": all(f["false_expected_per_slot"] < FALSE_MESSAGES for f in dl["false_messages"]),
    "no_false_ack": all(f["ack_interval"][1] < FALSE_ACKS for f in ul["false_acks"]),
    "eight_devices_fit": fits,
}
figures = {
    "miss_1_percent_snr_db": snr_db | {"uplink": ul["threshold"]["snr_at_1_percent_db"]},
    "decodings_a_slot": {f"{'full' if f['full'] else 'empty'}_{f['snr_db']:g}_db": [f["decodings_mean"], f["decodings_max"]]
                         for f in dl["false_messages"]},
    "false_messages": dl["false_messages"],
    "false_acks": ul["false_acks"],
    "checks": checks,
}
conditions = {key: dl[key] for key in ("version", "seed", "rate_hz", "scs_hz", "n_rb", "n_symbols", "n_cce", "short_bits", "long_bits", "trials",
                                       "false_trials")} | {"uplink_trials": ul["trials"], "uplink_false_trials": ul["false_trials"],
                                                           "limit_db": LIMIT_DB, "share": SHARE}
gate.finish("phy_control", conditions, figures, all(checks.values()))
