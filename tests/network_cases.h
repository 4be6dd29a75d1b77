// Networks that exercise every fusion of the executor, and every place where it must not fuse.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "networks.h"

namespace voxshift {

struct NetworkCase {
  std::string name;
  int dims;
  bool with_shape;    ///< the input has a shape, as bounded semantics need
  std::size_t steps;  ///< of the executor's plan
  std::function<std::string(NetworkWriter&)> build;
};

inline const std::vector<NetworkCase>& network_cases() {
  using B = NetworkWriter;
  const std::string in = kGraphInput;
  static const std::vector<NetworkCase> cases{
      // Folding and activations
      {"conv, norm, relu", 3, false, 1, [=](B& b) { return b.relu(b.batch_norm(b.conv(in, 5))); }},
      {"conv with bias, norm, leaky", 3, false, 1,
       [=](B& b) { return b.leaky_relu(b.batch_norm(b.conv(in, 17, cube(3, 3), true))); }},
      {"conv, relu6", 3, false, 1, [=](B& b) { return b.relu6(b.conv(in, 33)); }},
      {"linear, norm, relu between convs", 3, false, 3,
       [=](B& b) { return b.conv(b.relu(b.batch_norm(b.linear(b.conv(in, 5), 7))), 3); }},
      {"transposed, norm, relu", 3, false, 2,
       [=](B& b) { return b.relu(b.batch_norm(b.conv_transpose(b.conv(in, 5, 2, 2), 6))); }},
      {"norm of the input", 3, false, 1, [=](B& b) { return b.batch_norm(in); }},
      {"norm, relu of the input", 3, false, 1, [=](B& b) { return b.relu(b.batch_norm(in)); }},
      {"relu of the input", 3, false, 1, [=](B& b) { return b.relu(in); }},
      {"norm after relu", 3, false, 2, [=](B& b) { return b.batch_norm(b.relu(b.conv(in, 5))); }},
      {"leaky after relu6", 3, false, 2, [=](B& b) { return b.leaky_relu(b.relu6(b.conv(in, 5))); }},
      {"two norms", 3, false, 1, [=](B& b) { return b.batch_norm(b.batch_norm(b.conv(in, 5))); }},
      {"norm of a conv with two users", 3, false, 3,
       [=](B& b) {
         const std::string x = b.conv(in, 5);
         return b.add(b.batch_norm(x), x);
       }},
      {"relu of a conv with two users", 3, false, 2,
       [=](B& b) {
         const std::string x = b.conv(in, 5);
         return b.cat({b.relu(x), x});
       }},
      {"dead ends", 3, false, 3,
       [=](B& b) {
         const std::string x = b.conv(in, 5);
         b.batch_norm(b.conv(x, 3));
         return b.relu(x);
       }},
      // Sums
      {"residual of the input", 3, false, 1, [=](B& b) { return b.add(b.conv(in, 4), in); }},
      {"residual first, then relu", 3, false, 1, [=](B& b) { return b.relu(b.add(in, b.batch_norm(b.conv(in, 4)))); }},
      {"norm and relu after a sum", 3, false, 2, [=](B& b) { return b.relu(b.batch_norm(b.add(b.conv(in, 4), in))); }},
      {"sum of two convs", 3, false, 2, [=](B& b) { return b.relu(b.add(b.conv(in, 5, 1), b.conv(in, 5))); }},
      {"sum of linear and conv", 3, false, 2, [=](B& b) { return b.add(b.conv(in, 5), b.linear(in, 5)); }},
      {"sum of two transposed", 3, false, 3,
       [=](B& b) {
         const std::string x = b.conv(in, 5, 2, 2);
         return b.relu(b.add(b.conv_transpose(x, 6), b.conv_transpose(x, 6, 3, 2)));
       }},
      {"x + x", 3, false, 2,
       [=](B& b) {
         const std::string x = b.conv(in, 5);
         return b.relu(b.add(x, x));
       }},
      {"input + input", 3, false, 1, [=](B& b) { return b.leaky_relu(b.add(in, in)); }},
      {"sum of an activated conv", 3, false, 1, [=](B& b) { return b.add(b.relu(b.conv(in, 4)), in); }},
      {"relu of a sum of an activated conv", 3, false, 2,
       [=](B& b) { return b.relu(b.add(b.leaky_relu(b.conv(in, 4)), in)); }},
      {"summand with two users", 3, false, 3,
       [=](B& b) {
         const std::string x = b.conv(in, 4);
         return b.add(b.add(x, in), x);
       }},
      {"sum of sums", 3, false, 4,
       [=](B& b) { return b.add(b.add(b.conv(in, 4), in), b.add(b.conv(in, 4), b.conv(in, 4, 1))); }},
      {"summand computed later", 3, false, 3,
       [=](B& b) {
         const std::string x = b.conv(in, 4), y = b.relu(b.conv(in, 4));
         return b.add(x, b.relu(b.conv(y, 4)));
       }},
      // Concatenations
      {"cat with the input", 3, false, 3,
       [=](B& b) {
         return b.linear(b.cat({in, b.conv(in, 5)}), 3);
       }},
      {"cat of two convs", 3, false, 3,
       [=](B& b) {
         return b.conv(b.cat({b.conv(in, 5), b.conv(in, 3)}), 4);
       }},
      {"cat of cat", 3, false, 4,
       [=](B& b) {
         return b.linear(b.cat({b.cat({b.conv(in, 5), b.conv(in, 3)}), b.conv(in, 2)}), 3);
       }},
      {"cat of x and a cat with x", 3, false, 4,
       [=](B& b) {
         const std::string x = b.conv(in, 5);
         return b.linear(b.cat({x, b.cat({b.relu(x), x})}), 3);
       }},
      {"one value twice in a cat", 3, false, 3,
       [=](B& b) {
         const std::string x = b.conv(in, 5);
         return b.linear(b.cat({x, x}), 3);
       }},
      {"one value in two cats", 3, false, 5,
       [=](B& b) {
         const std::string x = b.conv(in, 5), y = b.conv(in, 5);
         return b.relu(b.add(b.cat({x, y}), b.cat({y, x})));
       }},
      {"cat of one", 3, false, 2, [=](B& b) { return b.relu(b.cat({b.conv(in, 5)})); }},
      {"cat of the input alone", 3, false, 1, [=](B& b) { return b.cat({in}); }},
      {"relu and norm of a cat", 3, false, 4,
       [=](B& b) {
         return b.batch_norm(b.relu(b.cat({b.conv(in, 5), b.conv(in, 3)})));
       }},
      {"sum inside a cat", 3, false, 3,
       [=](B& b) {
         return b.linear(b.cat({b.add(b.conv(in, 4), in), b.conv(in, 3)}), 3);
       }},
      // The output
      {"output is a cat", 3, false, 2,
       [=](B& b) {
         return b.cat({b.conv(in, 5), b.relu(b.conv(in, 3))});
       }},
      {"output lies in a cat", 3, false, 4,
       [=](B& b) {
         std::string x = b.conv(in, 5);
         b.linear(b.cat({b.conv(in, 3), x}), 3);
         return x;
       }},
      {"output is used again", 3, false, 2,
       [=](B& b) {
         std::string x = b.conv(in, 5);
         b.relu(x);
         return x;
       }},
      {"output cat in a cat", 3, false, 4,
       [=](B& b) {
         std::string x = b.cat({b.conv(in, 5), b.conv(in, 3)});
         b.cat({x, in});
         return x;
       }},
      // Coordinates
      {"U-Net", 3, false, 6,
       [=](B& b) {
         const std::string x = b.relu(b.conv(in, 5)), y = b.relu(b.conv(b.relu(b.conv(x, 6, 2, 2)), 6));
         return b.linear(b.relu(b.conv(b.cat({b.relu(b.conv_transpose(y, 4)), x}), 5)), 3);
       }},
      {"up with a window of its own", 3, false, 2,
       [=](B& b) { return b.conv_transpose(b.conv(in, 5, 2, 2), 6, 3, 2); }},
      {"two windows to one grid", 3, false, 3,
       [=](B& b) { return b.conv_transpose(b.add(b.conv(in, 5, 2, 2), b.conv(in, 5, 3, 2)), 4); }},
      {"two strides", 3, false, 4,
       [=](B& b) {
         return b.add(b.conv_transpose(b.conv(in, 5, 2, 2), 6), b.conv_transpose(b.relu(b.conv(in, 5, 3, 3)), 6, 3, 3));
       }},
      {"1 x 1 with a stride", 3, false, 2,
       [=](B& b) { return b.conv_transpose(b.conv(in, 5, 1, 2), 6, cube(3, 1, 2), true); }},
      {"transposed without a stride", 3, false, 1, [=](B& b) { return b.relu(b.conv_transpose(in, 5, 3, 1)); }},
      {"transposed 1 x 1", 3, false, 1, [=](B& b) { return b.conv_transpose(in, 5, 1, 1); }},
      {"dilated, other sizes per axis", 3, false, 2,
       [=](B& b) {
         Window w = cube(3, 3);
         w.size = {1, 3, 5, 1};
         w.dilation = {1, 2, 1, 1};
         return b.conv(b.relu(b.conv(in, 5, w)), 3, w);
       }},
      {"bounded, there and back", 3, true, 2,
       [=](B& b) {
         const Window w = bounded_cube(3, 3, 2, 1);
         return b.conv_transpose(b.relu(b.conv(in, 5, w, true)), 4, w);
       }},
      {"bounded after floor", 3, true, 4,
       [=](B& b) {
         const Window w = bounded_cube(3, 3, 2, 1);
         return b.conv_transpose(b.conv_transpose(b.conv(b.conv(in, 5, 2, 2), 3, w), 3, w), 4);
       }},
      {"bounded at stride 1", 3, true, 3,
       [=](B& b) {
         const Window w = bounded_cube(3, 3, 1, 1);
         return b.add(b.conv_transpose(b.conv(in, 5, w), 4, w), b.relu(in));
       }},
      {"one axis", 1, false, 3, [=](B& b) { return b.conv(b.conv_transpose(b.conv(in, 5, 2, 2), 5), 4); }},
      {"two axes", 2, false, 4,
       [=](B& b) { return b.add(b.conv_transpose(b.relu(b.conv(in, 5, 3, 2)), 4), b.relu(b.conv(b.conv(in, 3), 4))); }},
      {"four axes", 4, false, 2, [=](B& b) { return b.conv_transpose(b.relu(b.conv(in, 5, 2, 2)), 4); }},
  };
  return cases;
}

}  // namespace voxshift
