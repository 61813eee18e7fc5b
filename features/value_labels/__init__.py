"""Labels of served decisions: margin, cost and leaving of the customer in the days that follow."""
