"""Files, logs, locks, devices and fingerprints."""
