// A device for torch beside the CPU that computes on the CPU; `second_device.py` says what for.
//
// It takes the name of an accelerator that torch knows and that is not here (HPU): for names of its own, torch doesn't
// exchange the data of a parameter when its module is moved, as it does for GPUs. Memory is the computer's, so that
// the CPU's kernels run on it through aliases. As on a GPU, an operation that mixes its tensors with the CPU's fails,
// unless those have no dimensions.

#include <ATen/EmptyTensor.h>
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/resize_native.h>
#include <ATen/ops/set_native.h>
#include <ATen/ops/view_native.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/extension.h>
#include <torch/library.h>

#include <cstdlib>

namespace {

constexpr auto kType = c10::DeviceType::HPU;
const c10::Device kDevice(kType, 0);
const c10::DispatchKeySet kKeys(c10::DispatchKey::HPU);

// Told a device without a number torch asks for the number, to know what is there already.
struct Guard final : c10::impl::NoOpDeviceGuardImpl<kType> {
  c10::Device getDevice() const override { return kDevice; }
  c10::Device exchangeDevice(c10::Device) const override { return kDevice; }
  c10::DeviceIndex deviceCount() const noexcept override { return 1; }
};

C10_REGISTER_GUARD_IMPL(HPU, Guard)

int64_t held = 0;  // bytes of all tensors on the device

struct Memory final : c10::Allocator {
  // Before the data, as many bytes as keep them aligned, of which the first hold the size.
  static constexpr size_t kBefore = 64;

  static void drop(void* block) {
    held -= *static_cast<int64_t*>(block);
    std::free(block);
  }

  c10::DataPtr allocate(size_t bytes) override {
    void* block = nullptr;
    TORCH_CHECK(posix_memalign(&block, kBefore, bytes + kBefore) == 0, "out of memory");
    *static_cast<int64_t*>(block) = static_cast<int64_t>(bytes);
    held += static_cast<int64_t>(bytes);
    return {static_cast<char*>(block) + kBefore, block, &drop, kDevice};
  }

  c10::DeleterFnPtr raw_deleter() const override { return nullptr; }

  void copy_data(void* to, const void* from, size_t bytes) const override { default_copy_data(to, from, bytes); }
};

Memory memory;

bool is_here(const at::Tensor& tensor) { return tensor.defined() && tensor.device().type() == kType; }

// The same memory as a tensor of the CPU's, which keeps the original's alive.
at::Tensor as_cpu(const at::Tensor& tensor) {
  if (!is_here(tensor)) return tensor;
  const auto& storage = tensor.storage();
  c10::DataPtr data(
      storage.mutable_data(), new c10::Storage(storage),
      [](void* kept) { delete static_cast<c10::Storage*>(kept); }, c10::Device(c10::kCPU));
  c10::Storage alias(c10::Storage::use_byte_size_t(), storage.nbytes(), std::move(data), nullptr, false);
  at::Tensor made = at::detail::make_tensor<c10::TensorImpl>(
      std::move(alias), c10::DispatchKeySet(c10::DispatchKey::CPU), tensor.dtype());
  made.unsafeGetTensorImpl()->set_sizes_and_strides(tensor.sizes(), tensor.strides(), tensor.storage_offset());
  return made;
}

at::Tensor to_here(const at::Tensor& tensor) {
  if (!tensor.defined() || is_here(tensor)) return tensor;
  at::Tensor made = at::detail::empty_strided_generic(
      tensor.sizes(), tensor.strides(), &memory, kKeys, tensor.scalar_type());
  as_cpu(made).copy_(tensor);
  return made;
}

at::Tensor empty(
    at::IntArrayRef size, std::optional<at::ScalarType> dtype, std::optional<at::Layout>, std::optional<at::Device>,
    std::optional<bool>, std::optional<at::MemoryFormat> format) {
  return at::detail::empty_generic(size, &memory, kKeys, c10::dtype_or_default(dtype), format);
}

at::Tensor empty_strided(
    at::IntArrayRef size, at::IntArrayRef stride, std::optional<at::ScalarType> dtype, std::optional<at::Layout>,
    std::optional<at::Device>, std::optional<bool>) {
  return at::detail::empty_strided_generic(size, stride, &memory, kKeys, c10::dtype_or_default(dtype));
}

at::Tensor copy_from(const at::Tensor& from, const at::Tensor& to, bool) {
  as_cpu(to).copy_(as_cpu(from));
  return to;
}

at::Tensor copy_from_and_resize(const at::Tensor& from, const at::Tensor& to) {
  to.resize_(from.sizes());
  return copy_from(from, to, false);
}

at::Scalar local_scalar(const at::Tensor& tensor) { return as_cpu(tensor).item(); }

// torch sends a convolution on a device that it has no kernels for here, past the fallback.
at::Tensor convolution(
    const at::Tensor& input, const at::Tensor& weight, const std::optional<at::Tensor>& bias, at::IntArrayRef stride,
    at::IntArrayRef padding, at::IntArrayRef dilation, bool transposed, at::IntArrayRef output_padding,
    int64_t groups) {
  const bool has_bias = bias.has_value() && bias->defined();
  TORCH_CHECK(is_here(input) && is_here(weight) && (!has_bias || is_here(*bias)),
              "convolution: expected all tensors to be on the same device");
  const auto there = has_bias ? std::optional<at::Tensor>(as_cpu(*bias)) : std::nullopt;
  return to_here(at::convolution(
      as_cpu(input), as_cpu(weight), there, stride, padding, dilation, transposed, output_padding, groups));
}

int64_t plain_attention(
    const at::Tensor&, const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&, double, bool,
    std::optional<double>, bool) {
  return 0;  // at::SDPBackend::math
}

// One call of an operator, its arguments exchanged for what the CPU can see.
class Call {
 public:
  c10::IValue exchanged(const c10::IValue& value) {
    if (value.isTensor()) return exchanged(value.toTensor());
    if (value.isTensorList()) {
      c10::List<at::Tensor> list;
      for (const auto& each : value.toTensorVector()) list.push_back(exchanged(each));
      return list;
    }
    if (value.isOptionalTensorList()) {
      c10::List<std::optional<at::Tensor>> list;
      for (const std::optional<at::Tensor> each : value.toOptionalTensorList())
        list.push_back(each.has_value() ? std::optional<at::Tensor>(exchanged(*each)) : each);
      return list;
    }
    if (value.isDevice()) return c10::Device(c10::kCPU);
    return value;
  }

  c10::IValue back(const c10::IValue& value) {
    if (value.isTensor()) return back(value.toTensor());
    if (value.isTensorList()) {
      c10::List<at::Tensor> list;
      for (const auto& each : value.toTensorVector()) list.push_back(back(each));
      return list;
    }
    return value;
  }

  bool mixes_devices() const { return !pairs_.empty() && any_there_; }

 private:
  at::Tensor exchanged(const at::Tensor& tensor) {
    if (!is_here(tensor)) {
      any_there_ = any_there_ || (tensor.defined() && tensor.dim() > 0);
      return tensor;
    }
    // An empty one may be an output that the kernel makes larger, which an alias can't be.
    at::Tensor seen =
        tensor.numel() == 0 ? at::empty(tensor.sizes(), tensor.options().device(c10::kCPU)) : as_cpu(tensor);
    pairs_.emplace_back(tensor, seen);
    return seen;
  }

  at::Tensor back(const at::Tensor& tensor) {
    if (!tensor.defined()) return tensor;
    for (const auto& [original, seen] : pairs_) {
      if (seen.unsafeGetTensorImpl() != tensor.unsafeGetTensorImpl()) continue;
      auto* impl = original.unsafeGetTensorImpl();
      if (original.numel() == 0 && tensor.numel() > 0) impl->set_storage_keep_dtype(to_here(tensor).storage());
      impl->set_sizes_and_strides(tensor.sizes(), tensor.strides(), tensor.storage_offset());
      return original;
    }
    return to_here(tensor);
  }

  std::vector<std::pair<at::Tensor, at::Tensor>> pairs_;  // a tensor here, and as the CPU sees it
  bool any_there_ = false;
};

// Every operator that has no kernel of its own above: the CPU's, on the same memory.
void fallback(const c10::OperatorHandle& op, c10::DispatchKeySet, torch::jit::Stack* stack) {
  const auto& schema = op.schema();
  Call call;
  for (auto place = stack->end() - static_cast<int64_t>(schema.arguments().size()); place != stack->end(); ++place)
    *place = call.exchanged(*place);
  // torch allows indices on the CPU for tensors of a GPU.
  const bool may_mix = schema.name().rfind("aten::index", 0) == 0 || schema.name().rfind("aten::_index", 0) == 0;
  TORCH_CHECK(!call.mixes_devices() || may_mix, schema.name(),
              ": expected all tensors to be on the same device, but found two devices, ", kDevice, " and cpu");
  op.redispatchBoxed(c10::DispatchKeySet(c10::DispatchKey::CPU), stack);
  for (auto place = stack->end() - static_cast<int64_t>(schema.returns().size()); place != stack->end(); ++place)
    *place = call.back(*place);
}

TORCH_LIBRARY_IMPL(aten, HPU, m) {
  m.impl("empty.memory_format", &empty);
  m.impl("empty_strided", &empty_strided);
  m.impl("_copy_from", &copy_from);
  m.impl("_copy_from_and_resize", &copy_from_and_resize);
  m.impl("_local_scalar_dense", &local_scalar);
  m.impl("as_strided", &at::native::as_strided_tensorimpl);
  m.impl("view", &at::native::view);
  m.impl("_reshape_alias", &at::native::_reshape_alias);
  m.impl("resize_", &at::native::resize_);
  m.impl("set_.source_Storage", &at::native::set_);
  m.impl("set_.source_Storage_storage_offset", &at::native::set_storage_cpu_);
  m.impl("convolution_overrideable", &convolution);
  m.impl("_fused_sdp_choice", &plain_attention);
}

TORCH_LIBRARY_IMPL(_, HPU, m) { m.fallback(torch::CppFunction::makeFromBoxedFunction<&fallback>()); }

}  // namespace

PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {
  m.def("held", [] { return held; }, "Return the bytes of all tensors on the device.");
}
