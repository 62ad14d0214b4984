"""What a user may have meant: the field's other words for our keys and options, and mistakes that follow a pattern."""
