// A second device for torch that computes on the CPU: what is moved to it is on another device, and says so.
//
// Memory is the computer's own, so kernels of the CPU run on it through views. As on a GPU, an operation that mixes its
// tensors with the CPU's fails, unless they have no dimensions.
#include <ATen/EmptyTensor.h>
#include <ATen/InferSize.h>
#include <ATen/native/TensorFactories.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/set_native.h>
#include <ATen/ops/view_native.h>
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/resize_native.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/extension.h>
#include <torch/library.h>

#include <cstdlib>

namespace {

C10_REGISTER_GUARD_IMPL(HPU, c10::impl::NoOpDeviceGuardImpl<c10::DeviceType::HPU>)

constexpr auto kKind = c10::DeviceType::HPU;
const c10::Device kDevice(kKind, 0);
const c10::DispatchKeySet kKeys(c10::DispatchKey::HPU);

int64_t held = 0;

struct Memory final : c10::Allocator {
  static void drop(void* block) {
    if (block != nullptr) {
      held -= static_cast<int64_t*>(block)[0];
      std::free(block);
    }
  }
  c10::DataPtr allocate(size_t bytes) override {
    // 64 bytes before the data hold the size and keep the alignment that the CPU's kernels like.
    void* block = nullptr;
    TORCH_CHECK(posix_memalign(&block, 64, bytes + 64) == 0, "out of memory");
    static_cast<int64_t*>(block)[0] = static_cast<int64_t>(bytes);
    held += static_cast<int64_t>(bytes);
    return {static_cast<char*>(block) + 64, block, &drop, kDevice};
  }
  c10::DeleterFnPtr raw_deleter() const override { return nullptr; }
  void copy_data(void* to, const void* from, size_t bytes) const override { default_copy_data(to, from, bytes); }
};

Memory memory;

bool is_here(const at::Tensor& tensor) { return tensor.defined() && tensor.device().type() == kKind; }

// The same memory as a tensor of the CPU's; it keeps the original alive.
at::Tensor as_cpu(const at::Tensor& tensor) {
  if (!is_here(tensor)) return tensor;
  const auto& storage = tensor.storage();
  auto alias = c10::Storage(c10::Storage::use_byte_size_t(), storage.nbytes(),
      c10::DataPtr(storage.mutable_data(), new c10::Storage(storage),
                   [](void* kept) { delete static_cast<c10::Storage*>(kept); }, c10::Device(c10::kCPU)),
      nullptr, false);
  at::Tensor made = at::detail::make_tensor<c10::TensorImpl>(std::move(alias), c10::DispatchKeySet(c10::DispatchKey::CPU), tensor.dtype());
  made.unsafeGetTensorImpl()->set_sizes_and_strides(tensor.sizes(), tensor.strides(), tensor.storage_offset());
  return made;
}

at::Tensor empty(at::IntArrayRef size, std::optional<at::ScalarType> dtype, std::optional<at::Layout>,
                 std::optional<at::Device>, std::optional<bool>, std::optional<at::MemoryFormat> format) {
  return at::detail::empty_generic(size, &memory, kKeys, c10::dtype_or_default(dtype), format);
}

at::Tensor empty_strided(at::IntArrayRef size, at::IntArrayRef stride, std::optional<at::ScalarType> dtype,
                         std::optional<at::Layout>, std::optional<at::Device>, std::optional<bool>) {
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

at::Tensor to_here(const at::Tensor& tensor) {
  if (!tensor.defined() || is_here(tensor)) return tensor;
  at::Tensor made = at::detail::empty_strided_generic(tensor.sizes(), tensor.strides(), &memory, kKeys, tensor.scalar_type());
  as_cpu(made).copy_(tensor);
  return made;
}

at::Tensor convolution(const at::Tensor& input, const at::Tensor& weight, const std::optional<at::Tensor>& bias,
                       at::IntArrayRef stride, at::IntArrayRef padding, at::IntArrayRef dilation, bool transposed,
                       at::IntArrayRef output_padding, int64_t groups) {
  TORCH_CHECK(is_here(weight), "convolution: the weight is on ", weight.device());
  std::optional<at::Tensor> there;
  if (bias.has_value() && bias->defined()) {
    TORCH_CHECK(is_here(*bias), "convolution: the bias is on ", bias->device());
    there = as_cpu(*bias);
  }
  return to_here(at::convolution(as_cpu(input), as_cpu(weight), there, stride, padding, dilation, transposed, output_padding, groups));
}

int64_t no_fused_attention(const at::Tensor&, const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&,
                           double, bool, std::optional<double>, bool) { return 0; }

// Everything else: run the CPU's kernel on views of the same memory, and bring new results here.
void fallback(const c10::OperatorHandle& op, c10::DispatchKeySet, torch::jit::Stack* stack) {
  const auto& schema = op.schema();
  const auto count = schema.arguments().size();
  auto arguments = torch::jit::last(*stack, count);
  std::vector<std::pair<at::Tensor, at::Tensor>> twins;  // here, and as the CPU sees it
  bool any_here = false, any_there = false;
  std::string name_there;
  auto convert = [&](const at::Tensor& tensor) -> at::Tensor {
    if (!tensor.defined()) return tensor;
    if (!is_here(tensor)) {
      if (tensor.dim() > 0) any_there = true;
      return tensor;
    }
    any_here = true;
    // An empty one may be an output that the kernel makes larger, which a view of foreign memory can't be.
    auto view = tensor.numel() == 0 ? at::empty(tensor.sizes(), tensor.options().device(c10::kCPU)) : as_cpu(tensor);
    twins.emplace_back(tensor, view);
    return view;
  };
  for (size_t i = 0; i < count; ++i) {
    const auto value = (*stack)[stack->size() - count + i];
    c10::IValue made = value;
    if (value.isTensor()) {
      made = convert(value.toTensor());
    } else if (value.isTensorList()) {
      c10::List<at::Tensor> list;
      for (const auto& each : value.toTensorVector()) list.push_back(convert(each));
      made = list;
    } else if (value.isOptionalTensorList()) {
      c10::List<std::optional<at::Tensor>> list;
      for (const std::optional<at::Tensor> each : value.toOptionalTensorList())
        list.push_back(each.has_value() ? std::optional<at::Tensor>(convert(*each)) : each);
      made = list;
    } else if (value.isDevice()) {
      any_here = any_here || value.toDevice().type() == kKind;
      made = c10::IValue(c10::Device(c10::kCPU));
    }
    (*stack)[stack->size() - count + i] = made;
  }
  const auto name = schema.name();
  // Indices may be on the CPU: torch allows that for GPUs too.
  const bool may_mix = name.rfind("aten::index", 0) == 0 || name.rfind("aten::_index", 0) == 0;
  TORCH_CHECK(!(any_here && any_there) || may_mix, name, ": expected all tensors to be on the same device, but found two devices, ", kDevice, " and cpu");
  op.redispatchBoxed(c10::DispatchKeySet(c10::DispatchKey::CPU), stack);
  const auto returns = schema.returns().size();
  auto back = [&](const at::Tensor& tensor) -> at::Tensor {
    if (!tensor.defined()) return tensor;
    for (const auto& twin : twins)
      if (twin.second.unsafeGetTensorImpl() == tensor.unsafeGetTensorImpl()) {
        if (twin.first.sizes() != tensor.sizes() || twin.first.strides() != tensor.strides()) {
          if (tensor.numel() > 0 && twin.first.numel() == 0) {
            auto grown = to_here(tensor);
            twin.first.unsafeGetTensorImpl()->set_storage_keep_dtype(grown.storage());
          }
          twin.first.unsafeGetTensorImpl()->set_sizes_and_strides(tensor.sizes(), tensor.strides(), tensor.storage_offset());
        }
        return twin.first;
      }
    return to_here(tensor);
  };
  for (size_t i = 0; i < returns; ++i) {
    auto& value = (*stack)[stack->size() - returns + i];
    if (value.isTensor()) {
      value = back(value.toTensor());
    } else if (value.isTensorList()) {
      c10::List<at::Tensor> list;
      for (const auto& each : value.toTensorVector()) list.push_back(back(each));
      value = list;
    }
  }
}

at::Scalar local_scalar(const at::Tensor& tensor) { return as_cpu(tensor).item(); }

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
  m.impl("_fused_sdp_choice", &no_fused_attention);
}

TORCH_LIBRARY_IMPL(_, HPU, m) { m.fallback(torch::CppFunction::makeFromBoxedFunction<&fallback>()); }

}  // namespace

PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {
  m.def("held", [] { return held; }, "bytes of all tensors on the device");
}
