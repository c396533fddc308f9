"""Networks: small ones, and one transformer. They know shapes, never what is learned with them."""
