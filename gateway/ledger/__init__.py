"""The file accounts.db: callers' keys, rules, the audit, and the ledger of everything that upstream has billed."""
