"""Language models that learn: one file per algorithm; what they share is in `fine_tuning`, `writing` and `preferences`."""
