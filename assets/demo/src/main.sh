# The program: greets, then prints a small report.

main() {
  greet "${1:-world}"
  report
  echo "version $VERSION"
}

main "$@"
