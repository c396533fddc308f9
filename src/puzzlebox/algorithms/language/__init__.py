"""Language models that learn: one file per algorithm, and what they share in `common` and `preferences`."""
