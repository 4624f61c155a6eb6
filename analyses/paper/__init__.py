"""The paper's experiment at its size: three learners, four stages of their training, 300 sources."""
