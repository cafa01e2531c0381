"""What the commands of ``obhut archive`` do, without the command line."""
