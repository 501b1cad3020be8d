"""What the analytics say together: overall risk, signals with their record, key levels. Pure, as the analytics are."""
