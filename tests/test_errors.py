"""Messages suggest what was meant."""

from innerear.errors import did_you_mean


def test_did_you_mean_names_only_what_is_near():
    assert did_you_mean("sedes", ["seeds", "study"]) == " (did you mean 'seeds'?)"
    assert did_you_mean("zzz", ["seeds", "study"]) == ""
