"""Features, declared: every module in here is looked through for them. docs/features.md says how."""
