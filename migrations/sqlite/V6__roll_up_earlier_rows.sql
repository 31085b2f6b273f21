-- Rows from before the trigger of V5 are to be summed up, too. Those that have come since are noted.
INSERT OR IGNORE INTO usage_pending (id) SELECT id FROM usage;
