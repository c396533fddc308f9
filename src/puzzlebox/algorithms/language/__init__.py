"""Language models that learn: one file per algorithm; `fine_tuning`, `writing` and `preferences` are shared."""
