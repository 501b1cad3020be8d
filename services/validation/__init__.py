"""How true every number is: measured against oracles, labelled simulations and a recording. See docs/validation.md."""
