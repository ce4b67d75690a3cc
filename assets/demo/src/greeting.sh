# Says hello.
# use: colours_03_name

greet() {
  echo "hello, $1! today's colour is $(colours_03_name 4)"
}
