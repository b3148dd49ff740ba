"""Units of deployment, wiring only: no resource property is set here."""
