#include <voxshift/checkpoints/pickle_text.h>
#include <voxshift/checkpoints/unpickler.h>

#include <algorithm>
#include <bit>
#include <charconv>

namespace voxshift {
namespace {

using Kind = Value::Kind;

double big_endian_double(ByteReader& bytes) {
  std::uint64_t bits = 0;
  for (int b = 0; b < 8; ++b) bits = bits << 8 | bytes.byte();
  return std::bit_cast<double>(bits);
}

}  // namespace

Value Unpickler::load() {
  stack_.clear();
  marks_.clear();
  memo_.clear();
  while (step(bytes_.byte())) {
  }
  return pop();
}

void Unpickler::push(Value value) {
  check<IoError>(stack_.size() < ValueArena::kMostObjects, "holds more than ", ValueArena::kMostObjects,
                 " objects at once; expected a checkpoint");
  stack_.push_back(value);
}

Value& Unpickler::top() {
  check<IoError>(stack_.size() > (marks_.empty() ? 0 : marks_.back()),
                 "is damaged: an instruction of its pickle lacks its object");
  return stack_.back();
}

Value Unpickler::pop() {
  const Value value = top();
  stack_.pop_back();
  return value;
}

std::vector<Value> Unpickler::pop_mark() {
  check<IoError>(!marks_.empty(), "is damaged: an instruction of its pickle lacks its mark");
  const auto first = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
  std::vector<Value> items(first, stack_.end());
  stack_.erase(first, stack_.end());
  marks_.pop_back();
  return items;
}

void Unpickler::put(std::uint64_t key) {
  check<IoError>(memo_.size() < ValueArena::kMostObjects, "holds more than ", ValueArena::kMostObjects,
                 " objects at once; expected a checkpoint");
  memo_[key] = top();
}

void Unpickler::get(std::uint64_t key) {
  const auto found = memo_.find(key);
  check<IoError>(found != memo_.end(), "is damaged: its pickle refers to object ", key, ", which is not there");
  const auto replaced = replaced_.find(found->second.identity());
  push(replaced == replaced_.end() || !found->second.is_opaque() ? found->second : replaced->second);
}

bool Unpickler::step(std::uint8_t opcode) {
  if (opcode == '.') return false;
  const bool known =
      constant(opcode) || text(opcode) || container(opcode) || memory(opcode) || object(opcode) || old_object(opcode);
  check<IoError>(known, "is no checkpoint or damaged: byte ", bytes_.position() - 1, " is no instruction of a pickle");
  return true;
}

bool Unpickler::constant(std::uint8_t opcode) {
  switch (opcode) {
    case 'N':
      push(Value());
      return true;
    case 0x88:
      push(Value(true));
      return true;
    case 0x89:
      push(Value(false));
      return true;
    case 'K':
      push(Value(static_cast<std::int64_t>(bytes_.byte())));
      return true;
    case 'M':
      push(Value(static_cast<std::int64_t>(bytes_.number(2))));
      return true;
    case 'J':
      push(Value(std::int64_t{static_cast<std::int32_t>(bytes_.number(4))}));
      return true;
    case 0x8a:
      push_long(bytes_.take(bytes_.number(1)));
      return true;
    case 0x8b:
      push_long(bytes_.take(bytes_.number(4)));
      return true;
    case 'I':
    case 'L':
      push_decimal(bytes_.line());
      return true;
    case 'G':
      push(Value(big_endian_double(bytes_)));
      return true;
    case 'F':
      push(Value(decimal(bytes_.line())));
      return true;
    default:
      return false;
  }
}

void Unpickler::push_long(std::string little_endian) {
  const bool negative = !little_endian.empty() && (static_cast<unsigned char>(little_endian.back()) & 0x80) != 0;
  if (little_endian.size() <= 8) {
    std::uint64_t value = negative ? ~std::uint64_t{0} : 0;
    for (std::size_t b = little_endian.size(); b-- > 0;)
      value = value << 8 | static_cast<unsigned char>(little_endian[b]);
    return push(Value(static_cast<std::int64_t>(value)));
  }
  Opaque number{"int", true};
  number.state = arena_.string(hexadecimal(std::move(little_endian)));
  push(arena_.opaque(std::move(number)));
}

void Unpickler::push_decimal(const std::string& digits) {
  if (digits == "00" || digits == "01") return push(Value(digits == "01"));
  const std::string plain = digits.ends_with('L') ? digits.substr(0, digits.size() - 1) : digits;
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(plain.data(), plain.data() + plain.size(), value);
  if (error == std::errc() && end == plain.data() + plain.size()) return push(Value(value));
  check<IoError>(error == std::errc::result_out_of_range, "is damaged: a whole number has other characters");
  Opaque number{"int", true};
  number.state = arena_.string(plain);
  push(arena_.opaque(std::move(number)));
}

bool Unpickler::text(std::uint8_t opcode) {
  switch (opcode) {
    case 0x8c:
    case 'U':
      push(arena_.string(bytes_.take(bytes_.number(1))));
      return true;
    case 'X':
    case 'T':
      push(arena_.string(bytes_.take(bytes_.number(4))));
      return true;
    case 0x8d:
      push(arena_.string(bytes_.take(bytes_.number(8))));
      return true;
    case 'V':
      push(arena_.string(unescaped(bytes_.line())));
      return true;
    case 'S':
      push(arena_.string(unquoted(bytes_.line())));
      return true;
    case 'C':
      push(arena_.bytes(bytes_.take(bytes_.number(1))));
      return true;
    case 'B':
      push(arena_.bytes(bytes_.take(bytes_.number(4))));
      return true;
    case 0x8e:
    case 0x96:
      push(arena_.bytes(bytes_.take(bytes_.number(8))));
      return true;
    default:
      return false;
  }
}

bool Unpickler::container(std::uint8_t opcode) {
  switch (opcode) {
    case '(':
      marks_.push_back(stack_.size());
      return true;
    case '}':
      push(arena_.dict());
      return true;
    case ']':
      push(arena_.sequence(Kind::kList, {}));
      return true;
    case 0x8f:
      push(arena_.sequence(Kind::kSet, {}));
      return true;
    case ')':
      push_tuple(0);
      return true;
    case 0x85:
      push_tuple(1);
      return true;
    case 0x86:
      push_tuple(2);
      return true;
    case 0x87:
      push_tuple(3);
      return true;
    case 't':
      push(arena_.sequence(Kind::kTuple, pop_mark()));
      return true;
    case 'l':
      push(arena_.sequence(Kind::kList, pop_mark()));
      return true;
    case 0x91:
      push(arena_.sequence(Kind::kSet, pop_mark()));
      return true;
    case 'd': {
      const std::vector<Value> items = pop_mark();
      push(arena_.dict());
      set_items(items);
      return true;
    }
    case 'a':
      append({pop()});
      return true;
    case 'e':
    case 0x90:
      append(pop_mark());
      return true;
    case 's': {
      const Value value = pop();
      const Value key = pop();
      set_items({key, value});
      return true;
    }
    case 'u':
      set_items(pop_mark());
      return true;
    default:
      return false;
  }
}

void Unpickler::push_tuple(std::size_t items) {
  std::vector<Value> tuple(items);
  for (std::size_t i = items; i-- > 0;) tuple[i] = pop();
  push(arena_.sequence(Kind::kTuple, std::move(tuple)));
}

void Unpickler::append(const std::vector<Value>& items) {
  const Value target = top();
  check<IoError>(target.is_opaque() || (target.is_sequence() && target.kind() != Kind::kTuple),
                 "is damaged: its pickle appends to ", name(target.kind()));
  std::vector<Value>& held = target.is_opaque() ? ValueArena::placeholder(target).items : ValueArena::items(target);
  held.insert(held.end(), items.begin(), items.end());
}

void Unpickler::set_items(const std::vector<Value>& items) {
  const Value target = top();
  check<IoError>((target.is_opaque() || target.is_dict()) && items.size() % 2 == 0,
                 "is damaged: its pickle sets items of ", name(target.kind()));
  Dict& held = target.is_opaque() ? ValueArena::placeholder(target).entries : ValueArena::entries(target);
  for (std::size_t i = 0; i < items.size(); i += 2) {
    check<IoError>(is_hashable(items[i]), "is damaged: ", name(items[i].kind()), " is the key of a dict");
    held.items.emplace_back(items[i], items[i + 1]);
  }
}

bool Unpickler::memory(std::uint8_t opcode) {
  const auto key_of = [](const std::string& line) { return std::strtoull(line.c_str(), nullptr, 10); };
  switch (opcode) {
    case 'q':
      put(bytes_.number(1));
      return true;
    case 'r':
      put(bytes_.number(4));
      return true;
    case 'p':
      put(key_of(bytes_.line()));
      return true;
    case 0x94:
      put(memo_.size());
      return true;
    case 'h':
      get(bytes_.number(1));
      return true;
    case 'j':
      get(bytes_.number(4));
      return true;
    case 'g':
      get(key_of(bytes_.line()));
      return true;
    case '0':
      if (!marks_.empty() && marks_.back() == stack_.size()) {
        marks_.pop_back();
      } else {
        pop();
      }
      return true;
    case '1':
      pop_mark();
      return true;
    case '2':
      push(top());
      return true;
    case 0x80:
      bytes_.skip(1);
      return true;  // the protocol; instructions tell themselves apart
    case 0x95:
      bytes_.skip(8);
      return true;  // bytes of a frame: for readers that prefer large reads
    case 0x98:
      return true;  // the buffer becomes read-only
    default:
      return false;
  }
}

bool Unpickler::object(std::uint8_t opcode) {
  switch (opcode) {
    case 'c': {
      const std::string module = bytes_.line();
      push_global(module, bytes_.line());
      return true;
    }
    case 0x93: {
      const Value name = pop();
      const Value module = pop();
      check<IoError>(name.is_string() && module.is_string(), "is damaged: the name of a class is no string");
      push_global(module.as_string(), name.as_string());
      return true;
    }
    case 'R': {
      const Value arguments = pop();
      const Value function = pop();
      push(globals_.call(function, arguments));
      return true;
    }
    case 0x81: {
      const Value arguments = pop();
      const Value type = pop();
      push(globals_.make(type, arguments));
      return true;
    }
    case 'b':
      build();
      return true;
    case 'Q':
      push(persistent_(pop()));
      return true;
    default:
      return false;
  }
}

bool Unpickler::old_object(std::uint8_t opcode) {
  switch (opcode) {
    case 'P':
      push(persistent_(arena_.string(bytes_.line())));
      return true;
    case 'i': {
      const std::string module = bytes_.line();
      const Value type = globals_.find(module, bytes_.line());
      push(globals_.make(type, arena_.sequence(Kind::kTuple, pop_mark())));
      return true;
    }
    case 'o': {
      std::vector<Value> items = pop_mark();
      check<IoError>(!items.empty(), "is damaged: an object without a class");
      const Value type = items.front();
      items.erase(items.begin());
      push(globals_.make(type, arena_.sequence(Kind::kTuple, std::move(items))));
      return true;
    }
    case 0x92: {
      pop();  // arguments by name
      const Value arguments = pop();
      const Value type = pop();
      push(globals_.make(type, arguments));
      return true;
    }
    default:
      return false;
  }
}

void Unpickler::push_global(const std::string& module, const std::string& name) { push(globals_.find(module, name)); }

void Unpickler::build() {
  const Value state = pop();
  Value& object = top();
  const Value before = object;
  object = globals_.build(object, state);
  if (before.is_opaque() && !object.is_opaque()) replaced_[before.identity()] = object;
}

}  // namespace voxshift
