"""Text against token history, from clips replayed under other texts."""
