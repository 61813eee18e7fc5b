"""What we learn: churn, intent, the bandit, and how each is judged and promoted."""
